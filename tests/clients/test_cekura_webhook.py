"""Webhooks are read tolerantly, never believed, and never make anybody stumble."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clients.cekura_webhook import (
    LARGEST_BODY,
    MOST_RUNS,
    Unreadable,
    WebhookNews,
    read_webhook,
    verify,
)
from orchestrator.domain.secret import ApiKey
from tests.support.webhooks import CALL_LOG, FAILED_RUN, OF_RETELL, OF_VAPI, PRE_TRIGGER, RUN, of_result

SECRET = ApiKey("s3cret-of-the-project")
LARGEST_ID = 2**63 - 1


def read(message):
    return read_webhook(json.dumps(message).encode())


def runs_of(runs):
    return read(of_result(runs=runs)).cekura_run_ids


def test_a_finished_result_names_itself_and_its_runs():
    news = read(of_result(runs={"39129": RUN, "39130": FAILED_RUN}))
    assert news == WebhookNews(event="result.completed", cekura_result_id=17759, cekura_run_ids=(39129, 39130))


@pytest.mark.parametrize(
    "changes",
    [
        {"is_cronjob": True, "success_rate": 0.0},
        {"is_cronjob": True, "success_rate": 100.0, "runs": {"39129": RUN | {"success": False}}},
        {"status": "failed", "success_rate": "0"},
        {"runs": {"39129": RUN | {"scenario": 11736}}},
        {"runs": {"39129": {"id": "39129"}}},
        {"runs": {"39129": None}},
        {"runs": [RUN]},
        {"runs": [39129]},
        {"id": "17759"},
        {"something": {"new": [1, 2]}},
    ],
)
def test_every_variant_of_it_says_the_same(changes):
    news = read(of_result(**changes))
    assert (news.event, news.cekura_result_id, news.cekura_run_ids) == ("result.completed", 17759, (39129,))


def test_where_keys_and_ids_disagree_both_are_looked_for():
    assert runs_of({"1": RUN}) == (39129, 1)


@pytest.mark.parametrize("runs", [{}, [], None, "39129", 39129, {"a": {}}, [{}], {"-1": 0, "0": {"id": -5}}])
def test_runs_that_name_nobody_leave_the_result(runs):
    message = of_result()
    message["data"]["runs"] = runs
    news = read(message)
    assert (news.cekura_result_id, news.cekura_run_ids) == (17759, ())


@pytest.mark.parametrize("number", [2**63, "9" * 5000, 1.5, True, None, -1, 0, "", {}])
def test_a_number_that_no_row_can_hold_is_none(number):
    news = read(of_result(result_id=number, runs={str(number): {"id": number}}))
    assert (news.cekura_result_id, news.cekura_run_ids) == (None, ())


def test_the_largest_number_that_a_row_can_hold_is_one():
    assert read(of_result(result_id=LARGEST_ID)).cekura_result_id == LARGEST_ID


def test_a_result_of_very_many_runs_is_read_as_far_as_its_bound():
    assert len(runs_of({str(number): {"id": number} for number in range(1, 2 * MOST_RUNS)})) == MOST_RUNS


def test_an_announcement_is_told_from_an_end():
    assert read(PRE_TRIGGER) == WebhookNews(event="result.pre_trigger", cekura_result_id=17759)


def test_a_call_log_has_numbers_of_its_own():
    assert read(CALL_LOG) == WebhookNews(event="call_log.completed")


def test_an_event_nobody_documents_is_kept_with_what_it_names():
    assert read(of_result(event="result.paused")).cekura_result_id == 17759
    news = read({"event_type": "run.completed", "data": {"id": 7, "result_id": 17759, "runs": [39129]}})
    assert news == WebhookNews(event="run.completed", cekura_result_id=17759, cekura_run_ids=(39129,))


@pytest.mark.parametrize("data", [None, [], "text", 5, {}])
def test_an_event_about_nothing_is_read_as_one(data):
    assert read({"event_type": "result.completed", "data": data}) == WebhookNews(event="result.completed")


def test_the_word_of_an_event_is_cut_and_printable():
    event = read({"event_type": "result.\x1b[2J" + "x" * 500}).event
    assert len(event) == 80
    assert event.isprintable()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"event_type=result.completed", "not JSON"),
        (b'{"event_type": "result.completed", "data": {"id": 1,}}', "not JSON"),
        (json.dumps(of_result()).encode()[:-20], "not JSON"),
        (b"\xff\xfe\x00\xd8", "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b"[" * LARGEST_BODY, "not JSON"),
        (b"9" * 5000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{}", "names no event"),
        (b'{"event_type": 5}', "names no event"),
        (b'{"event_type": "\\ud800"}', "names no event"),
        (json.dumps(OF_VAPI).encode(), "names no event"),
        (json.dumps(OF_RETELL).encode(), "names no event"),
        (b" " * (LARGEST_BODY + 1), "larger than"),
    ],
    ids=range(16),
)
def test_what_cannot_be_read_is_answered_with_why(body, reason):
    answer = read_webhook(body)
    assert isinstance(answer, Unreadable)
    assert reason in answer.reason


def test_the_largest_body_is_read():
    body = json.dumps(of_result()).encode()
    assert read_webhook(body + b" " * (LARGEST_BODY - len(body))).cekura_result_id == 17759


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SHAPED = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(["result.completed", "result.pre_trigger", "call_log.completed"]) | ANY_JSON,
        "data": st.fixed_dictionaries(
            {},
            optional={
                "id": ANY_JSON,
                "result_id": ANY_JSON,
                "runs": st.dictionaries(st.text() | st.integers().map(str), ANY_JSON, max_size=4) | ANY_JSON,
            },
        )
        | ANY_JSON,
    }
)


def well_formed(answer):
    if isinstance(answer, Unreadable):
        return bool(answer.reason)
    ids = [*answer.cekura_run_ids, *([answer.cekura_result_id] if answer.cekura_result_id is not None else [])]
    return 0 < len(answer.event) <= 80 and all(type(one) is int and 0 < one <= LARGEST_ID for one in ids)


@given(st.binary())
def test_any_bytes_are_read_or_answered(body):
    assert well_formed(read_webhook(body))


@given(SHAPED | ANY_JSON)
def test_any_json_is_read_or_answered(message):
    assert well_formed(read(message))


@pytest.mark.parametrize("presented", [None, "", " ", "s3cret", "s3cret-of-the-projecT", "s3cret-of-the-project ", "é"])
def test_another_secret_is_refused(presented):
    assert not verify(SECRET, presented)


def test_the_secret_is_known_again():
    assert verify(SECRET, "s3cret-of-the-project")


def test_no_secret_is_never_the_right_one():
    assert not verify(ApiKey(""), "")


def test_a_secret_beyond_ascii_is_known_by_its_bytes():
    """A server hands a header's bytes on as letters of Latin-1."""
    assert verify(ApiKey("geheim-ß-密"), "geheim-ß-密".encode().decode("latin-1"))


@given(st.text(alphabet=st.characters(min_codepoint=0, max_codepoint=0x10FFFF)))
def test_no_header_makes_it_stumble(presented):
    assert not verify(SECRET, presented)
