"""A plan as values: how many runs it has, what its agent is called, and what a faster world does to its durations."""

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.forecast import Preference
from orchestrator.domain.plan import (
    AgentKind,
    AgentSpec,
    Evidence,
    Gate,
    Limits,
    Plan,
    Readiness,
    ScenarioSpec,
    SlotRule,
    Timeouts,
    Timing,
)


def an_agent(*, name="support-bot", url=None):
    return AgentSpec(
        kind=AgentKind.PIPECAT_CLOUD,
        name=name,
        url=url,
        body={},
        room_properties={},
        token_properties={},
        exclusive=False,
    )


def a_scenario(scenario_id, repeat):
    return ScenarioSpec(
        scenario_id=scenario_id, repeat=repeat, body={}, publish_data_message=None, has_data_message=False
    )


PLAN = Plan(
    name="nightly",
    agent=an_agent(),
    cekura_agent_id=5,
    mock_tool_names=None,
    scenarios=(a_scenario(101, 3), a_scenario(102, 1)),
    env_names=(),
    limits=Limits(concurrency=12, calls=10, starts_per_second=5, call_slot_until=SlotRule.AUTO),
    timeouts=Timeouts(ready=120, run=900, judge=600, capacity=300),
    timing=Timing(poll_interval=5, teardown_grace=2, gather=1, presence_interval=15, lookup=180),
    readiness=Readiness(evidence=(Evidence.PRESENCE,), settle=5),
    prefer=Preference.BALANCED,
    infrastructure_retries=1,
    gate=Gate(min_pass_rate=1.0, max_inconclusive=0),
    digest="d",
)


def test_a_batch_has_one_run_for_each_repeat():
    assert PLAN.run_count == 4


@pytest.mark.parametrize(
    ("agent", "label"),
    [
        (an_agent(), "support-bot"),
        (an_agent(name=None, url="http://127.0.0.1:7860"), "http://127.0.0.1:7860"),
        (an_agent(name=None), "pipecat_cloud"),
    ],
)
def test_an_agent_is_called_by_what_a_person_knows_it_by(agent, label):
    assert agent.label == label


@given(st.floats(0.5, 200))
def test_a_faster_plan_divides_every_duration_and_leaves_every_count(speed):
    slow, fast = asdict(PLAN), asdict(PLAN.faster(speed))
    for group in ("timeouts", "timing"):
        assert fast.pop(group) == {name: pytest.approx(seconds / speed) for name, seconds in slow.pop(group).items()}
    assert fast["readiness"].pop("settle") == pytest.approx(slow["readiness"].pop("settle") / speed)
    assert fast["limits"].pop("starts_per_second") == pytest.approx(slow["limits"].pop("starts_per_second") * speed)
    assert fast == slow


def test_a_plan_at_the_speed_of_life_is_the_same_plan():
    assert PLAN.faster(1) == PLAN
