from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plans import estimate, expand, plan_from_text

ENTRIES = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6)), min_size=1, max_size=6)


def plan_of(entries, more=""):
    scenarios = ", ".join(f"{{scenario: {scenario}, repeat: {repeat}}}" for scenario, repeat in entries)
    text = f"version: 1\nagent: {{kind: pipecat_cloud, name: b}}\nscenarios: [{scenarios}]\n{more}"
    return plan_from_text(text).plan


@given(ENTRIES)
@settings(deadline=None)
def test_expansion_holds_every_run_once_and_numbers_them_from_one(entries):
    plan = plan_of(entries)
    runs = expand(plan)
    assert [run.index for run in runs] == list(range(1, plan.run_count + 1))
    assert Counter(run.scenario_position for run in runs) == {n: repeat for n, (_, repeat) in enumerate(entries)}
    assert all(run.scenario is plan.scenarios[run.scenario_position] for run in runs)


@given(ENTRIES)
@settings(deadline=None)
def test_a_scenario_follows_itself_only_when_no_other_is_left(entries):
    order = [run.scenario.scenario_id for run in expand(plan_of(entries))]
    for position, (one, next_one) in enumerate(pairwise(order), start=1):
        assert one != next_one or set(order[position:]) == {one}


def test_the_order_takes_scenarios_in_turn():
    assert estimate(plan_of([(101, 3), (102, 1), (103, 2)])).order == (
        (1, 101),
        (2, 102),
        (3, 103),
        (4, 101),
        (5, 103),
        (6, 101),
    )


def test_figures_follow_from_runs_limits_and_prices():
    plan = plan_of([(1, 10)], "limits: {concurrency: 4, calls: 3}\ntimeouts: {run: 600}\nretries: {infrastructure: 1}")
    figures = estimate(plan, call_seconds=60)
    assert figures.runs == 10
    assert figures.seconds == 4 * 60  # ten calls, three at a time
    assert figures.credits_low == 10 * 5
    assert figures.worst_case_call_minutes == 10 * 2 * 10
    assert figures.credits_high == figures.worst_case_call_minutes * 5
    assert figures.session_minutes == pytest.approx(10 * (10 + 1 + 60 + 2) / 60)


def test_slow_starts_can_be_what_takes_longest():
    plan = plan_of([(1, 11)], "limits: {concurrency: 100, starts_per_second: 0.1}")
    assert estimate(plan, call_seconds=60).seconds == 100 + 60


def test_a_call_is_never_taken_to_outlast_its_timeout():
    assert estimate(plan_of([(1, 1)], "timeouts: {run: 30}"), call_seconds=120).call_seconds == 30
