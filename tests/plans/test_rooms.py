"""Room and token properties: what Daily or Pipecat would refuse or drop is refused here, before anything starts."""

import asyncio
import subprocess
import sys

import pytest

from orchestrator.plans import room_seconds
from orchestrator.plans.rooms import ROOM_PROPERTIES, TOKEN_PROPERTIES, property_findings

CLOUD = {"kind": "pipecat_cloud", "name": "bot"}
RUNNER = {"kind": "pipecat_runner", "url": "http://localhost:7860"}


def findings(agent, **properties):
    return [(item.place[1:], item.message, item.remedy) for item in property_findings({**agent, **properties})]


@pytest.mark.parametrize(
    ("name", "value", "message", "remedy"),
    [
        ("exp", 1, "the orchestrator sets the expiry", "leave it out"),
        ("nbf", 1, "must not be set", "leave it out"),
        ("eject_after_elapsed", 60, "switches off the ejection", "leave it out"),
        ("eject_at_token_exp", True, "switches off the ejection", "leave it out"),
        ("eject_at_room_exp", False, "ejects nobody", "leave it out"),
        ("sip_uri", {}, "Daily sets it", "leave it out"),
        ("enable_recordin", "cloud", "Daily knows no property", "did you mean enable_recording?"),
        ("quux", 1, "Daily knows no property", "REST reference"),
        ("max_participants", "many", "Pipecat refuses it", "write a whole number"),
        ("max_participants", "4", "Pipecat refuses it", "write a whole number"),
        ("max_participants", 1, "share the room", "2 or more"),
        ("enable_recording", "tape", "Pipecat refuses it", "write text"),
        ("enable_chat", 1, "Pipecat refuses it", "write true or false"),
        ("enable_chat", None, "is empty", "leave it out"),
        ("enable_knocking", "yes", "must be true or false", "write true or false"),
        ("sfu_switchover", True, "must be a number", "write a number"),
        ("streaming_endpoints", {}, "must be a list", "write a list"),
        ("lang", "{{ run.id }}", "templates are rendered in", "write the value out"),
    ],
)
def test_a_room_property_that_would_be_refused_or_dropped_is_a_problem(name, value, message, remedy):
    [(place, said, advised)] = findings(CLOUD, room_properties={name: value})
    assert place == ("room_properties", name)
    assert message in said
    assert remedy in advised


def test_a_nested_room_property_is_checked_with_pipecats_model_where_it_stands():
    [(place, message, _)] = findings(CLOUD, room_properties={"sip": {"num_endpoints": "two"}})
    assert place == ("room_properties", "sip", "num_endpoints")
    assert "Pipecat refuses it" in message


def test_properties_that_pass_need_no_comment():
    room = {
        "max_participants": 4,
        "enable_recording": "cloud",
        "geo": "eu-central-1",
        "sfu_switchover": 0.5,
        "lang": "de",
    }
    token = {"user_name": "Bot", "permissions": {"canSend": True}, "is_owner": False, "close_tab_on_exit": True}
    assert findings(CLOUD, room_properties={**room, "eject_at_room_exp": True}, token_properties=token) == []


@pytest.mark.parametrize(
    ("agent", "name", "value", "message"),
    [
        (CLOUD, "exp", 1, "the orchestrator sets the expiry"),
        (CLOUD, "room_name", "r", "Pipecat chooses the room"),
        (CLOUD, "user_id", "u", "marks its sessions"),
        (CLOUD, "eject_at_token_exp", True, "switches off the ejection"),
        (CLOUD, "eject_after_elapsed", 60, "switches off the ejection"),
        (CLOUD, "user_nam", "x", "Daily knows no property"),
        (CLOUD, "user_name", 5, "Pipecat refuses it"),
        (CLOUD, "close_tab_on_exit", "x", "must be true or false"),
        (RUNNER, "is_owner", False, "always makes it true"),
        (RUNNER, "close_tab_on_exit", True, "drops it silently"),
    ],
)
def test_a_token_property_that_would_be_refused_or_dropped_is_a_problem(agent, name, value, message):
    [(place, said, _)] = findings(agent, token_properties={name: value})
    assert place == ("token_properties", name)
    assert message in said


def test_every_property_pipecat_models_is_in_our_list_of_daily_names():
    from pipecat.transports.daily.utils import DailyMeetingTokenProperties, DailyRoomProperties

    assert set(DailyRoomProperties.model_fields) - set(ROOM_PROPERTIES) == {"sip_uri"}  # an answer's, not a request's
    assert set(DailyMeetingTokenProperties.model_fields) <= set(TOKEN_PROPERTIES)


def test_a_room_lives_through_every_stage_and_a_margin(a_plan):
    more = "timeouts: {ready: 30, run: 100}\ntiming: {gather: 3, teardown_grace: 4}"
    assert room_seconds(a_plan(more).plan) == 120 + 30 + 3 + 100 + 4 + 120


def test_importing_plans_imports_neither_pipecat_nor_pydantic_nor_yaml():
    script = "import sys, orchestrator.plans; print(sorted({'pipecat', 'pydantic', 'yaml'} & set(sys.modules)))"
    assert run_python(script).stdout == "[]\n"


def test_pipecats_models_are_used_without_its_banner_or_its_wait_for():
    script = (
        "import asyncio, sys\n"
        "standard = asyncio.wait_for\n"
        "from orchestrator.plans.rooms import property_findings\n"
        "agent = {'kind': 'pipecat_cloud', 'room_properties': {'enable_chat': 5}}\n"
        "assert len(list(property_findings(agent))) == 1\n"
        "assert 'pipecat' in sys.modules and asyncio.wait_for is standard\n"
        "from loguru import logger\n"
        "logger.patch(lambda record: record.update(name='pipecat.x')).info('heard')\n"
    )
    done = run_python(script)
    assert "Pipecat 1" not in done.stderr
    assert "heard" in done.stderr


def run_python(script):
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)


def test_a_plan_without_properties_does_not_need_pipecat():
    script = (
        "import sys\n"
        "from orchestrator.plans import plan_from_text\n"
        "plan_from_text('{version: 1, agent: {kind: pipecat_cloud, name: b}, scenarios: [{scenario: 1}]}')\n"
        "print('pipecat' in sys.modules)\n"
    )
    assert run_python(script).stdout == "False\n"


def test_the_test_process_keeps_a_working_wait_for():
    async def answer():
        return 42

    assert asyncio.run(asyncio.wait_for(answer(), timeout=1)) == 42
