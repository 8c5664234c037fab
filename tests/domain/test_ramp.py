"""Ramps: which level holds when, how long they take, and when they are stopped."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.ramp import (
    Observed,
    Profile,
    Ramp,
    StopRule,
    highest_until,
    last_rise,
    level,
    levels,
    nearest_rank,
    next_change,
    ramp_seconds,
    ramp_text,
    stop_reason,
    stop_text,
)

STEPS = Ramp(profile=Profile.STEPS, lowest=2, highest=20, step=3, seconds=60)
LINEAR = Ramp(profile=Profile.LINEAR, lowest=1, highest=5, seconds=400)
SPIKE = Ramp(profile=Profile.SPIKE, lowest=2, highest=20, seconds=120, lasting=30)
SOAK = Ramp(profile=Profile.SOAK, lowest=10, highest=10)
DURATIONS = st.floats(0.01, 1e6)
RAMPS = st.one_of(
    st.builds(
        lambda profile, lowest, more, step, seconds, lasting: Ramp(
            profile=profile, lowest=lowest, highest=lowest + more, step=step, seconds=seconds, lasting=lasting
        ),
        st.sampled_from((Profile.STEPS, Profile.LINEAR, Profile.SPIKE)),
        st.integers(1, 30),
        st.integers(1, 60),
        st.integers(1, 40),
        DURATIONS,
        DURATIONS,
    ),
    st.builds(lambda calls: Ramp(profile=Profile.SOAK, lowest=calls, highest=calls), st.integers(1, 60)),
)
MOMENTS = st.floats(0, 3e6)


@pytest.mark.parametrize(
    ("ramp", "expected"),
    [
        (STEPS, {0: 2, 59.9: 2, 60: 5, 120: 8, 359: 17, 360: 20, 1e9: 20}),
        (LINEAR, {0: 1, 99: 1, 100: 2, 399: 4, 400: 5, 1e9: 5}),
        (SPIKE, {0: 2, 119: 2, 120: 20, 149: 20, 150: 2, 1e9: 2}),
        (SOAK, {0: 10, 1e9: 10}),
    ],
    ids=lambda value: str(getattr(value, "profile", "")),
)
def test_a_profile_is_at_its_levels_when_it_says(ramp, expected):
    assert {seconds: level(ramp, seconds) for seconds in expected} == expected


def test_steps_that_do_not_come_out_even_end_at_the_highest_level():
    assert levels(Ramp(profile=Profile.STEPS, lowest=2, highest=6, step=3, seconds=10)) == ((0, 2), (10, 5), (20, 6))


@given(RAMPS, MOMENTS)
def test_a_level_is_never_outside_its_bounds(ramp, seconds):
    assert ramp.lowest <= level(ramp, seconds) <= highest_until(ramp, seconds) <= ramp.highest
    assert highest_until(ramp, float("inf")) == ramp.highest


@given(RAMPS, MOMENTS, MOMENTS)
def test_nothing_but_a_spike_ever_falls(ramp, one, other):
    earlier, later = sorted((one, other))
    if ramp.profile is not Profile.SPIKE:
        assert level(ramp, earlier) <= level(ramp, later)
    assert highest_until(ramp, earlier) <= highest_until(ramp, later)


@given(RAMPS)
def test_levels_begin_at_once_and_come_in_order(ramp):
    known = levels(ramp)
    assert known[0] == (0.0, ramp.lowest)
    assert all(before[0] < after[0] and before[1] != after[1] for before, after in pairwise(known))
    assert level(ramp, float("inf")) == known[-1][1]


@given(RAMPS, MOMENTS)
def test_the_level_stays_until_its_next_change(ramp, seconds):
    change = next_change(ramp, seconds)
    if change is None:
        assert level(ramp, seconds) == levels(ramp)[-1][1]
    else:
        assert change > seconds
        assert level(ramp, seconds) != level(ramp, change)
        middle = (seconds + change) / 2
        assert middle == change or level(ramp, middle) == level(ramp, seconds)  # one step of a float lies between none


@given(RAMPS, MOMENTS)
def test_since_the_last_rise_nothing_rose(ramp, seconds):
    rose = last_rise(ramp, seconds)
    assert 0 <= rose <= seconds
    assert level(ramp, rose) >= level(ramp, seconds)
    assert rose == 0 or level(ramp, rose) > min(calls for at, calls in levels(ramp) if at < rose)


@given(RAMPS, st.integers(0, 60), st.floats(0.1, 1e4))
def test_a_ramp_takes_at_least_as_long_as_its_highest_level_all_along(ramp, runs, call):
    took = ramp_seconds(ramp, runs=runs, call_seconds=call)
    rounds = -(-runs // ramp.highest)
    assert took >= rounds * call * 0.999
    assert took <= max(1, runs) * call * 1.001 if ramp.lowest == 1 else took <= runs * call * 1.001
    if ramp.profile is Profile.SOAK:
        assert took == pytest.approx(rounds * call)


def test_a_ramp_takes_as_long_as_its_levels_let_it():
    steps = Ramp(profile=Profile.STEPS, lowest=1, highest=2, step=1, seconds=25)
    # Alone: 0-10, 10-20, 20-30. From 25 on a second one: 25-35, 30-40.
    assert ramp_seconds(steps, runs=5, call_seconds=10) == 40


# --- stop rules ------------------------------------------------------------------------------------------------------


def test_late_bots_stop_a_ramp_once_there_are_enough():
    rule = StopRule(join_p95=20, after=5)
    assert stop_reason(rule, Observed(joins=[34.2] * 4)) is None
    reason = "bots took 34.2 s to join at the 95th percentile, more than 20 s"
    assert stop_reason(rule, Observed(joins=[5, 6, 7, 8, 34.2])) == reason
    assert stop_reason(rule, Observed(joins=[*[5] * 19, 34.2])) is None  # one of twenty is not the 95th percentile
    assert stop_reason(rule, Observed(joins=[20.0] * 9)) is None


def test_a_low_pass_rate_stops_a_ramp_once_there_are_enough():
    rule = StopRule(min_pass_rate=0.8, after=5)
    assert stop_reason(rule, Observed(passed=0, conclusive=4)) is None
    assert stop_reason(rule, Observed(passed=4, conclusive=5)) is None
    assert stop_reason(rule, Observed(passed=7, conclusive=9)) == "7 of 9 judged runs passed (77.8%), less than 80.0%"


def test_refused_starts_stop_a_ramp_however_few_runs_there_were():
    rule = StopRule(capacity=2)
    assert stop_reason(rule, Observed(refused=1)) is None
    assert stop_reason(rule, Observed(refused=2)) == "2 starts were refused for capacity since the level last rose"


@given(
    st.builds(
        Observed,
        joins=st.lists(st.floats(0, 1e4), max_size=30),
        passed=st.just(0),
        conclusive=st.integers(0, 99),
        refused=st.integers(0, 99),
    )
)
def test_a_rule_without_a_cause_stops_nothing(observed):
    assert stop_reason(StopRule(after=1), observed) is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.floats(0.01, 1))
def test_the_nearest_rank_is_the_smallest_value_that_enough_do_not_exceed(values, share):
    found = nearest_rank(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    smaller = [value for value in values if value < found]
    assert not smaller or sum(value <= max(smaller) for value in values) < share * len(values) + 1e-9


def test_ramps_and_rules_are_said_in_words():
    assert ramp_text(STEPS) == "steps: from 2 to 20 calls at once, 3 more every 60 s"
    assert ramp_text(SPIKE) == "spike: 2 calls at once, 20 after 120 s for 30 s, then 2 again"
    assert "over 400 s" in ramp_text(LINEAR)
    assert ramp_text(SOAK) == "soak: 10 calls at once until all runs are done"
    rule = StopRule(join_p95=20, min_pass_rate=0.8, capacity=5)
    assert stop_text(rule).startswith("stopped when bots take more than 20 s to join at the 95th percentile, or ")
    assert "5 starts are refused" in stop_text(rule)
    assert stop_text(StopRule(capacity=1)) == "stopped when a start is refused for capacity at one level"
