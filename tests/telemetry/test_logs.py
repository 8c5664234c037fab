"""Log lines for people and for collectors: each JSON line parses, and no secret is in either."""

import io
import json

import pytest
from loguru import logger

from orchestrator.cli.edge import carry_out
from orchestrator.domain.secret import ApiKey, MeetingToken
from orchestrator.telemetry.logs import configure_logging
from tests.support.bench import Bench
from tests.support.watched import watch

PLAIN = "sk_0123456789abcdef"


@pytest.fixture(autouse=True)
def _silent_afterwards():
    yield
    logger.remove()


def speak(name="orchestrator.engine.driver", **how):
    """What a logger of ours says to a stream of its own."""
    stream = io.StringIO()
    configure_logging("DEBUG", stream=stream, **how)
    return logger.patch(lambda record: record.update(name=name)), stream


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_has_its_time_in_utc_its_place_and_its_fields_apart():
    ours, stream = speak(as_json=True)

    ours.warning("a poll failed", failures=3, wait=1.5, error="no connection", message="not the line's own")

    (line,) = lines(stream)
    assert line["at"].endswith("+00:00")
    del line["at"]
    assert line == {
        "level": "WARNING",
        "message": "a poll failed",
        "module": "orchestrator.engine.driver",
        "fields": {"failures": 3, "wait": 1.5, "error": "no connection", "message": "not the line's own"},
    }


def test_braces_quotes_and_line_breaks_stay_one_line():
    ours, stream = speak(as_json=True)

    ours.error("odd", text='{"a": "b"}\nsecond {line}', number=float("nan"), nothing=None)

    (line,) = lines(stream)
    assert line["fields"] == {"text": '{"a": "b"}\nsecond {line}', "number": "nan", "nothing": None}


@pytest.mark.parametrize("as_json", [True, False])
def test_a_secret_in_a_field_is_masked(as_json):
    ours, stream = speak(as_json=as_json)

    ours.info("asked", key=ApiKey(PLAIN), tokens=[MeetingToken(PLAIN)])

    assert "********" in stream.getvalue()
    assert PLAIN not in stream.getvalue()


def test_a_defect_is_told_by_kind_and_place_never_by_its_words():
    ours, stream = speak(as_json=True)

    def fails():
        raise ExceptionGroup("", [KeyError(PLAIN)])

    try:
        fails()
    except ExceptionGroup as caught:
        ours.opt(exception=caught).error("a round met a defect")

    (line,) = lines(stream)
    assert line["error"]["kind"] == "ExceptionGroup of KeyError"
    assert line["error"]["trace"][-1].endswith(" fails")
    assert PLAIN not in stream.getvalue()


def test_libraries_are_silent_in_both_forms():
    for as_json in (True, False):
        elsewhere, stream = speak("aiohttp.access", as_json=as_json)
        elsewhere.error("not ours")
        assert stream.getvalue() == ""


def test_the_environment_chooses_the_form(monkeypatch, capsys):
    monkeypatch.setenv("ORCHESTRATOR_LOG_FORMAT", "json")
    monkeypatch.setenv("ORCHESTRATOR_LOG_LEVEL", "INFO")

    async def work():
        logger.patch(lambda record: record.update(name="orchestrator.cli")).info("under way", batch="b1")
        return 0

    with pytest.raises(BaseException, match="0"):
        carry_out(work)

    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["message"], line["fields"]) == ("under way", {"batch": "b1"})


def test_a_form_that_does_not_exist_is_refused_by_the_variables_name(monkeypatch, capsys):
    monkeypatch.setenv("ORCHESTRATOR_LOG_FORMAT", "xml")

    async def work():
        raise AssertionError("nothing may run")

    with pytest.raises(BaseException, match="2"):
        carry_out(work)

    said = capsys.readouterr().err
    assert "ORCHESTRATOR_LOG_FORMAT" in said
    assert "'human' or 'json'" in said


async def test_a_whole_batch_amid_faults_logs_json_and_no_secret(tmp_path, monkeypatch):
    watched = watch(monkeypatch)
    watched.echoes = {"start": (429, 1), "submit": (400, 2), "session_stop": (500, 1), "poll": (500, 1)}
    stream = io.StringIO()
    configure_logging("DEBUG", as_json=True, stream=stream)

    await Bench(folder=tmp_path).run("submit.lost_answer=1@2", "token_create.error=2")

    said = lines(stream)
    assert {"a poll failed"} <= {line["message"] for line in said}
    assert watched.echoed.total() == 5
    assert watched.found_in(stream.getvalue()) == []
