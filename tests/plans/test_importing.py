"""What others asked Cekura for, as plans: on their own channel and on ours, with a note for whatever is left behind."""

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.domain.channel import Channel
from orchestrator.domain.errors import InvalidPlan
from orchestrator.plans import expand, plan_from_data, plan_from_text
from orchestrator.plans.importing import Wishes, plan_of_requests
from orchestrator.plans.json_text import read_json
from orchestrator.plans.requests import read_requests
from orchestrator.plans.source import SIZE_LIMIT
from orchestrator.plans.suite import is_suite, plan_of_suite, read_suite
from orchestrator.plans.writing import plan_text

REQUEST = {
    "scenarios": [{"scenario": 101, "publish_data_message": {"say": "{{ hello }}"}}, {"scenario": 102}],
    "frequency": 3,
    "name": "Nightly, all of it",
    "agent": 5,
    "mock_tool_names": [],
    "concurrency_limit": 4,
    "pipecat_data": {
        "pipecat_agent_name": "support-bot",
        "config": {"locale": "en"},
        "room_properties": {"max_participants": 4},
    },
}
LIVEKIT = {
    "scenarios": [{"scenario": 201}],
    "agent": 6,
    "livekit_data": {"agent_name": "w", "url": "wss://a.example", "config": {"locale": "en"}},
}
VOICE = {"agent_id": 7, "scenarios": [301, 302], "frequency": 2, "agent_number": "+15550100002", "mode": "same_number"}


def imported(data, **wishes):
    return plan_of_requests(read_requests(data, wanted=wishes.get("to")), Wishes(**wishes))


def refused(data, **wishes):
    with pytest.raises(InvalidPlan) as caught:
        imported(data, **wishes)
    return str(caught.value)


def notes_of(data, **wishes):
    return "\n".join(imported(data, **wishes).notes)


def test_a_v2_request_becomes_a_plan_of_sessions_of_ours():
    found = imported(REQUEST, to=Channel.PIPECAT_V1)

    assert found.plan == {
        "version": 1,
        "name": "nightly-all-of-it",
        "agent": {
            "kind": "pipecat_cloud",
            "name": "support-bot",
            "body": {"locale": "en"},
            "room_properties": {"max_participants": 4},
        },
        "cekura": {"agent": 5, "name": "Nightly, all of it", "mock_tool_names": []},
        "scenarios": [
            {"scenario": 101, "repeat": 3, "publish_data_message": {"say": "{{ '{{' }} hello }}"}},
            {"scenario": 102, "repeat": 3},
        ],
        "limits": {"calls": 4},
    }
    assert len(expand(plan_from_data(found.plan).plan)) == 6
    assert found.notes == ()


@pytest.mark.parametrize(
    ("request_", "channel"),
    [(REQUEST, Channel.PIPECAT_V2), (LIVEKIT, Channel.LIVEKIT_V2), (VOICE, Channel.VOICE)],
)
def test_a_request_stays_on_its_own_channel_unless_told_otherwise(request_, channel):
    plan = plan_from_data(imported(request_).plan).plan

    assert plan.channel is channel
    assert plan.automated.frequency == request_.get("frequency", 1)
    assert [one.scenario_id for one in plan.scenarios] == [
        one if isinstance(one, int) else one["scenario"] for one in request_["scenarios"]
    ]


def test_what_the_manual_flow_does_not_take_is_named():
    told = notes_of(REQUEST | {"test_profile_ids": [31], "personality_id": 7}, to=Channel.PIPECAT_V1)

    assert "test_profile_ids [31] is left out, for channel pipecat_v1 takes none: write the values into body" in told
    assert "personality_ids [7] is left out, for channel pipecat_v1 takes none: use a scenario for each" in told


def test_a_singular_id_joins_the_list():
    plan = imported(REQUEST | {"personality_ids": [1, 2], "personality_id": 3}).plan

    assert plan["cekura"]["personality_ids"] == [1, 2, 3]


def test_room_properties_that_are_ours_to_set_are_left_out_and_named():
    rooms = {"exp": 99, "nbf": 1, "max_participants": 4}
    found = imported(
        {**REQUEST, "pipecat_data": {**REQUEST["pipecat_data"], "room_properties": rooms}}, to=Channel.PIPECAT_V1
    )

    assert found.plan["agent"]["room_properties"] == {"max_participants": 4}
    assert [note.split(" ")[0] for note in found.notes] == ["room_properties.exp", "room_properties.nbf"]


def test_without_an_agent_to_start_it_asks_for_one():
    bare = {key: value for key, value in REQUEST.items() if key != "pipecat_data"}

    assert "--agent-name NAME" in refused(bare, to=Channel.PIPECAT_V1)
    assert "--agent-url URL" in refused(LIVEKIT, to=Channel.PIPECAT_V1)
    named = imported(bare, to=Channel.PIPECAT_V1, agent_name="mine").plan
    assert named["agent"] == {"kind": "pipecat_cloud", "name": "mine"}


def test_a_request_can_be_moved_to_a_runner_of_ones_own():
    plan = imported(REQUEST, to=Channel.PIPECAT_V1, agent_url="http://localhost:7860").plan

    assert plan["agent"] == {
        "kind": "pipecat_runner",
        "url": "http://localhost:7860",
        "name": "support-bot",
        "body": {"locale": "en"},
        "room_properties": {"max_participants": 4},
    }
    assert "channel pipecat_v2 takes none" in refused(REQUEST, agent_url="http://localhost:7860")


def test_between_providers_the_config_is_kept_and_the_rest_is_named():
    found = imported(REQUEST, to=Channel.LIVEKIT_V2, agent_name="worker")

    assert found.plan["cekura"]["livekit_data"] == {"config": {"locale": "en"}, "agent_name": "worker"}
    assert "room_properties is left out: it is of channel pipecat_v2" in found.notes
    told = notes_of(LIVEKIT, to=Channel.PIPECAT_V1, agent_name="mine")
    assert "livekit_data.url is left out" in told
    assert "becomes agent.body" in told


def test_calls_beyond_the_default_come_with_as_many_sessions():
    assert imported(REQUEST | {"concurrency_limit": 30}, to=Channel.PIPECAT_V1).plan["limits"] == {
        "concurrency": 30,
        "calls": 30,
    }
    unbounded = {key: value for key, value in REQUEST.items() if key != "concurrency_limit"}
    assert "the plan's limits.calls is 10" in notes_of(unbounded)


def test_a_body_that_names_no_provider_is_taken_for_pipecats_and_that_is_said():
    bare = {"scenarios": [{"scenario": 101}]}

    assert imported(bare).plan["channel"] == "pipecat_v2"
    assert "--to livekit_v2" in notes_of(bare)
    assert imported(bare, to=Channel.LIVEKIT_V2).plan["channel"] == "livekit_v2"


def test_unknown_fields_are_named_and_nulls_are_as_if_unsaid():
    odd = {**REQUEST, "color": "red", "personality_ids": None, "scenarios": [{"scenario": 101, "weight": 2}]}
    odd["pipecat_data"] = {"pipecat_agent_name": "support-bot", "region": "eu", "config": None}
    told = notes_of(odd)

    assert [
        name for name in ("color", "scenarios.0.weight", "pipecat_data.region") if f"{name} is left out" in told
    ] == [
        "color",
        "scenarios.0.weight",
        "pipecat_data.region",
    ]
    assert "personality_ids" not in told


def test_a_message_that_is_null_is_still_a_message():
    entry = imported({"scenarios": [{"scenario": 101, "publish_data_message": None}], "pipecat_data": {}}).plan[
        "scenarios"
    ]

    assert entry == [{"scenario": 101, "publish_data_message": None}]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "is neither a request with scenarios nor a tests-as-code file"),
        ({"scenarios": []}, "is neither a request"),
        ({"scenarios": [{"scenario": "101"}]}, "scenarios.0.scenario: must be a whole number, not '101'"),
        ({"scenarios": [{"scenario": True}]}, "scenarios.0.scenario: must be a whole number"),
        ({"scenarios": [{"publish_data_message": 1}]}, "scenarios.0.scenario: is missing"),
        ({"scenarios": [{"scenario": 0}]}, "scenarios.0.scenario: must be from 1"),
        ({"scenarios": [7, {"scenario": 1}]}, "scenarios.0: must be a mapping"),
        (REQUEST | {"frequency": 0}, "frequency: must be at least 1, not 0"),
        (REQUEST | {"frequency": 101}, "as a plan, cekura.frequency: must be from 1 to 100"),
        (REQUEST | {"pipecat_data": "support-bot"}, "pipecat_data: must be a mapping"),
        (
            REQUEST | {"scenarios": [{"scenario": 1}, {"scenario": 1}]},
            "as a plan, scenarios.1.scenario: is named a second",
        ),
        ({"agent_id": 7, "tags": ["smoke"]}, "tags: selects scenarios at Cekura"),
        ({"agent_id": 7, "folder_path": "a", "project_id": 1}, "folder_path: selects scenarios at Cekura"),
        (VOICE | {"mode": "any"}, "mode: must be same_number or different_numbers"),
        (VOICE | {"assistant_id": "a"}, "as a plan, cekura.assistant_id: names the agent a second time"),
        ({"scenarios": [1]}, "as a plan, cekura.agent: is missing"),
        (
            {"scenarios": [{"scenario": 1, "pipecat_room_url": "https://a.daily.co/r"}]},
            "is a request of the manual flow",
        ),
        ({"requests": []}, "requests: must be a list of requests"),
        ({"requests": [{"path": "/x/"}]}, "requests.0.body: is missing"),
        (
            {"requests": [{"path": "/v1/run_scenarios_sip/", "body": {}}]},
            "requests.0.path: '/v1/run_scenarios_sip/' is none of",
        ),
    ],
)
def test_what_cannot_be_a_plan_is_refused_with_its_place(data, words):
    assert words in refused(data)


def test_a_body_for_the_bot_that_is_no_mapping_is_refused():
    listed = {**REQUEST, "pipecat_data": {"pipecat_agent_name": "b", "config": [1]}}

    assert "config: is a list" in refused(listed, to=Channel.PIPECAT_V1)


def test_requests_that_differ_in_their_agent_are_not_one_plan():
    path = "/test_framework/v1/scenarios/run_scenarios_pipecat_v2/"
    both = {"requests": [{"path": path, "body": REQUEST}, {"path": path, "body": REQUEST | {"agent": 8}}]}

    assert "differ in cekura_agent_id" in refused(both, to=Channel.PIPECAT_V1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": 1,\n  "b": }', "line 2, column 8"),
        (b"", "line 1, column 1"),
        (b'{"a": 1, "a": 2}', "'a' is given twice"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": 1e999}', "a: is not a finite number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read"),
        (b'{"a": "\\ud800"}', "a: holds half of a character"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 70 + b"]" * 70, "levels and more"),
        (b" " * (SIZE_LIMIT + 1), "is larger than"),
    ],
)
def test_json_is_read_completely_or_refused(content, words):
    with pytest.raises(InvalidPlan) as caught:
        read_json(content)

    assert words in str(caught.value)
    assert "nothing was written" in caught.value.next_step


def test_json_with_a_byte_order_mark_is_read():
    assert read_json(b"\xef\xbb\xbf" + json.dumps(REQUEST).encode()) == REQUEST


LEAVES = st.sampled_from([None, True, 0, 1, 101, -1, 10**30, 0.5, "", "1", "{{", "{{ run.id }}", "BATCH-ID", "x" * 300])
NAMES = st.sampled_from(
    [
        *(
            "scenarios",
            "scenario",
            "name",
            "frequency",
            "agent",
            "agent_id",
            "personality_ids",
            "personality",
            "version",
        ),
        *("pipecat_data", "livekit_data", "config", "room_properties", "requests", "body", "path", "suite", "defaults"),
        *("publish_data_message", "mock_tool_names", "concurrency_limit", "mode", "{{", "tags", "test_profile"),
    ]
)
JSONS = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=10
)
OBJECTS = st.dictionaries(NAMES, JSONS, max_size=6)
CHANGED = st.builds(dict.__or__, st.sampled_from([REQUEST, LIVEKIT, VOICE, {"requests": [{"body": REQUEST}]}]), OBJECTS)
SUITES = st.builds(dict.__or__, st.just({"version": "1", "scenarios": [{"name": "a"}]}), OBJECTS)


@given(OBJECTS | CHANGED | SUITES, st.sampled_from([None, *Channel]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_source_holds_it_becomes_a_plan_that_loads_or_is_refused(data, to):
    with contextlib.suppress(InvalidPlan):
        if is_suite(data):
            found = plan_of_suite(read_suite(data), [(101, "a")], Wishes(to=to, agent_name="b"), partial=True)
        else:
            found = imported(data, to=to, agent_name="b")
        assert plan_from_text(plan_text(found.plan, head=found.notes, remarks=found.remarks)).plan.scenarios
