"""The probe's child: its own process and the few decisions that need no room."""

import array
import json
import subprocess
import sys

import pytest

from orchestrator.clients.probe_child import client_ready, is_audible, is_bot_ready

# pipecat-ai imports audioop, which Python 3.13 drops (it then brings its own).
pytestmark = pytest.mark.filterwarnings("ignore:'audioop' is deprecated:DeprecationWarning")


def test_a_malformed_url_ends_the_child_with_events_alone_on_its_stdout():
    """daily-python prints log lines on stdout; they must not reach the parent."""
    order = {"room_url": "not a url", "meeting_token": None, "user_name": "p", "listen": 1, "ask_ready": False}
    child = subprocess.run(
        [sys.executable, "-m", "orchestrator.clients.probe_child"],
        input=json.dumps(order) + "\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    events = [json.loads(line) for line in child.stdout.splitlines()]
    assert events[0] == {"event": "hello", "protocol": 1}
    assert events[1]["event"] == "error"
    assert "Failed to parse url" in events[1]["message"]
    assert events[-1] == {"event": "done"}
    assert {event["event"] for event in events} == {"hello", "error", "done"}


@pytest.mark.parametrize(
    ("message", "ready"),
    [
        ({"label": "rtvi-ai", "type": "bot-ready", "id": "1", "data": {"version": "2.2.0"}}, True),
        ({"label": "rtvi-ai", "type": "bot-started-speaking"}, False),
        ({"type": "bot-ready"}, False),
        ("bot-ready", False),
        (None, False),
    ],
)
def test_only_rtvis_own_message_says_that_the_bot_is_ready(message, ready):
    assert is_bot_ready(message) is ready


def test_the_question_is_one_that_pipecat_understands():
    from pipecat.processors.frameworks.rtvi import models

    question = models.Message.model_validate(client_ready())
    assert (question.label, question.type, question.data) == ("rtvi-ai", "client-ready", None)


def test_an_answer_that_pipecat_gives_counts_as_ready():
    from pipecat.processors.frameworks.rtvi import models

    answer = models.BotReady(id="1", data=models.BotReadyData(version=models.PROTOCOL_VERSION))
    assert is_bot_ready(answer.model_dump())


@pytest.mark.parametrize(
    ("samples", "audible"),
    [([], False), ([0] * 160, False), ([5, -5] * 80, False), ([0, 900], True), ([0, -32768], True)],
)
def test_an_open_but_silent_track_is_not_sound(samples, audible):
    assert is_audible(array.array("h", samples).tobytes()) is audible
