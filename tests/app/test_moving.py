"""A plan as Cekura's automated flow would be asked for it, and back again."""

import json
from collections import Counter

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.app.moving import as_automated
from orchestrator.domain.channel import Channel
from orchestrator.domain.errors import InvalidPlan
from orchestrator.plans import expand, plan_from_data, plan_from_text, render_run
from orchestrator.plans.estimation import calls_at_once
from orchestrator.plans.importing import Wishes, plan_of_requests
from orchestrator.plans.json_text import read_json
from orchestrator.plans.requests import read_requests
from orchestrator.plans.writing import plan_text
from orchestrator.sandbox import Sandbox, SandboxSettings

AGENT = "agent: {kind: pipecat_cloud, name: support-bot}\n"
KEY = "ck_sandbox"


def moved(text, environ=None):
    return as_automated(plan_from_text(f"version: 1\nname: nightly\n{text}", environ=environ or {}).plan)


def there_and_back(data, to=None):
    """The plan, and what becomes of it as requests, as JSON, as a plan's file."""
    plan = plan_from_data(data).plan
    document = read_json(json.dumps(as_automated(plan)).encode())
    imported = plan_of_requests(read_requests(document, wanted=to), Wishes(to=to))
    return plan, plan_from_text(plan_text(imported.plan, head=imported.notes)).plan


def given_to_runs(plan):
    """What every run of a plan is given, however the plan says it."""
    runs = Counter()
    for one in expand(plan):
        rendered = render_run(plan, scenario=one.scenario, run_id="r", run_index=one.index, batch_id="b", environ={})
        message = [rendered.has_data_message, rendered.publish_data_message]
        asked = [one.scenario.scenario_id, one.personality_id, one.test_profile_id, rendered.body, message]
        runs[json.dumps(asked, sort_keys=True)] += 1
    return runs


def label(plan):
    return plan.result_name or plan.name


TEXTS = st.sampled_from(
    ["en", "", "{{ '{{' }} hello }}", "for {{ batch.id }}", "{{ run.scenario }}", "yes", "1:2", "ä\n"]
)
JSONS = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers(-5, 5) | st.just(0.5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "on"]), inner, max_size=2),
    max_leaves=4,
)
BODIES = st.dictionaries(st.sampled_from(["locale", "customer", "a"]), JSONS, max_size=2)
NAMED = st.fixed_dictionaries({}, optional={"name": st.sampled_from(["Nightly, all of it", "x", "7"])})
CEKURA = {"agent": st.just(5), "mock_tool_names": st.sampled_from([[], ["lookup"]])}
LIMITS = st.fixed_dictionaries({}, optional={"calls": st.integers(1, 30)})
BY_HAND = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "name": st.just("nightly"),
        "agent": st.fixed_dictionaries(
            {"kind": st.just("pipecat_cloud"), "name": st.just("support-bot")},
            optional={"body": BODIES, "room_properties": st.just({"max_participants": 4})},
        ),
        "cekura": st.builds(dict.__or__, NAMED, st.fixed_dictionaries({}, optional=CEKURA)),
        "scenarios": st.lists(
            st.fixed_dictionaries(
                {"scenario": st.integers(101, 103)},
                optional={"repeat": st.integers(1, 4) | st.just(150), "body": BODIES, "publish_data_message": JSONS},
            ),
            min_size=1,
            max_size=4,
        ),
        "limits": LIMITS,
    }
)


@given(BY_HAND)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_v2_was_asked_for_a_plan_makes_a_plan_that_gives_its_runs_the_same(data):
    plan, back = there_and_back(data, Channel.PIPECAT_V1)

    assert given_to_runs(back) == given_to_runs(plan)
    assert (back.agent.name, back.agent.room_properties) == (plan.agent.name, plan.agent.room_properties)
    assert (back.cekura_agent_id, back.mock_tool_names) == (plan.cekura_agent_id, plan.mock_tool_names)
    assert (label(back), calls_at_once(back)) == (label(plan), calls_at_once(plan))


IDS = st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True)
ASKED = {**CEKURA, "frequency": st.integers(1, 100), "personality_ids": IDS, "test_profile_ids": IDS}
DATA = {
    "pipecat_v2": {
        "pipecat_data": st.fixed_dictionaries({}, optional={"pipecat_agent_name": st.just("b"), "config": JSONS})
    },
    "livekit_v2": {"livekit_data": st.fixed_dictionaries({"agent_name": st.just("w")}, optional={"config": BODIES})},
    "voice": {"mode": st.just("different_numbers"), "agent_number": st.just("+15550100002")},
}


@st.composite
def automated(draw):
    channel = draw(st.sampled_from(sorted(DATA)))
    message = {} if channel == "voice" else {"publish_data_message": JSONS}
    scenarios = draw(st.lists(st.integers(101, 104), min_size=1, max_size=3, unique=True))
    return {
        "version": 1,
        "channel": channel,
        "name": "nightly",
        "cekura": {"agent": 5} | draw(NAMED) | draw(st.fixed_dictionaries({}, optional={**ASKED, **DATA[channel]})),
        "scenarios": [{"scenario": one, **draw(st.fixed_dictionaries({}, optional=message))} for one in scenarios],
        "limits": draw(LIMITS),
    }


@given(automated())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_posted_for_an_automated_plan_makes_the_same_plan(data):
    plan, back = there_and_back(data)

    assert back.channel is plan.channel
    assert given_to_runs(back) == given_to_runs(plan)
    assert (back.automated.agent_data or {}) == (plan.automated.agent_data or {})
    assert (back.automated.number_mode, back.automated.agent_number) == (
        plan.automated.number_mode,
        plan.automated.agent_number,
    )
    assert (back.cekura_agent_id, back.mock_tool_names) == (plan.cekura_agent_id, plan.mock_tool_names)
    assert label(back) == label(plan)
    largest = len(plan.scenarios) * plan.automated.frequency
    assert calls_at_once(back) == min(calls_at_once(plan), largest)


def test_scenarios_with_equal_repeats_share_one_request():
    document = moved(f"{AGENT}scenarios: [{{scenario: 101, repeat: 3}}, {{scenario: 102, repeat: 3}}]")

    (request,) = document["requests"]
    assert (request["method"], request["path"]) == ("POST", "/test_framework/v1/scenarios/run_scenarios_pipecat_v2/")
    assert request["body"] == {
        "name": "nightly",
        "frequency": 3,
        "scenarios": [{"scenario": 101}, {"scenario": 102}],
        "pipecat_data": {"pipecat_agent_name": "support-bot"},
        "concurrency_limit": 10,
    }


def test_different_repeats_and_bodies_need_several_requests_and_that_is_said():
    document = moved(
        f"{AGENT}scenarios: [{{scenario: 101, repeat: 3}}, {{scenario: 102}}, {{scenario: 103, body: {{a: 1}}}}]"
    )

    asked = [
        ([one["scenario"] for one in body["scenarios"]], body["frequency"], body["pipecat_data"].get("config"))
        for body in (request["body"] for request in document["requests"])
    ]
    assert asked == [([101, 102], 1, None), ([101], 2, None), ([103], 1, {"a": 1})]
    assert any("these are 3 requests" in note for note in document["notes"])


def test_what_is_of_one_run_is_left_out_and_named():
    document = moved(
        f"{AGENT}scenarios: [{{scenario: 101, body: {{customer: 'U-{{{{ run.index }}}}', locale: en}},"
        " publish_data_message: {run: '{{ run.id }}'}}]"
    )

    body = document["requests"][0]["body"]
    assert body["pipecat_data"]["config"] == {"locale": "en"}
    assert body["scenarios"] == [{"scenario": 101}]
    notes = "\n".join(document["notes"])
    assert "scenarios.0: body.customer is left out: it reads {{ run.index }}" in notes
    assert "scenarios.0: publish_data_message is left out: it reads {{ run.id }}" in notes


def test_a_runners_agent_is_out_of_reach_and_has_no_name_at_pipecat_cloud():
    document = moved(
        "agent: {kind: pipecat_runner, url: 'http://localhost:7860', name: mine}\nscenarios: [{scenario: 101}]"
    )

    assert "pipecat_data" not in document["requests"][0]["body"]
    assert any("reaches agents on Pipecat Cloud only" in note for note in document["notes"])


def test_scenarios_that_only_cekura_could_name_are_named_as_left_out():
    document = moved(f"{AGENT}cekura: {{agent: 5}}\nscenarios: [{{scenario: 101}}, {{tags: [smoke, orders]}}]")

    assert [request["body"]["scenarios"] for request in document["requests"]] == [[{"scenario": 101}]]
    assert any("scenarios.1 is left out: what it selects (tags smoke or orders)" in note for note in document["notes"])


def test_test_profiles_are_left_to_cekura():
    text = f"{AGENT}cekura: {{agent: 5, test_profile_variables: true}}\nscenarios: [{{scenario: 101}}]"

    assert any("what test profiles hold is left out" in note for note in moved(text)["notes"])


def test_what_the_environment_holds_is_not_shown():
    text = f"env: [TENANT]\n{AGENT}scenarios: [{{scenario: 101, publish_data_message: '{{{{ env.TENANT }}}}'}}]"
    document = moved(text, {"TENANT": "hush-hush"})

    assert "hush-hush" not in json.dumps(document)
    assert any("TENANT" in note for note in document["notes"])


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        (
            f"{AGENT}scenarios: [{{scenario: 101, repeat: 2, body: {{a: 1}}}}, {{scenario: 102}}]",
            3,
        ),
        (
            "channel: pipecat_v2\ncekura: {frequency: 2, personality_ids: [1, 2]}\nscenarios: [{scenario: 101}]",
            4,
        ),
        ("channel: livekit_v2\ncekura: {agent: 6, livekit_data: {agent_name: w}}\nscenarios: [{scenario: 201}]", 1),
        ("channel: voice\ncekura: {agent: 7, frequency: 3, mode: different_numbers}\nscenarios: [{scenario: 301}]", 3),
    ],
)
async def test_cekura_takes_the_requests_and_makes_as_many_runs_as_the_plan_has(text, runs):
    made = 0
    async with Sandbox(SandboxSettings(speed=50.0)) as sandbox, httpx.AsyncClient(base_url=sandbox.url) as http:
        base = sandbox.environment()["CEKURA_API_URL"]
        for request in moved(text)["requests"]:
            answer = await http.request(
                request["method"], base + request["path"], json=request["body"], headers={"X-CEKURA-API-KEY": KEY}
            )
            assert answer.is_success, answer.text
            made += len(answer.json()["runs"])

    assert made == runs


def test_requests_that_are_not_one_automated_plan_say_how_they_can_be_one():
    document = moved(f"{AGENT}scenarios: [{{scenario: 101, repeat: 3}}, {{scenario: 102}}]")

    with pytest.raises(InvalidPlan, match=r"differ in scenarios, frequency.*--to pipecat_v1"):
        plan_of_requests(read_requests(document, wanted=None), Wishes())
