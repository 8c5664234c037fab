"""How many warm sessions there should be, which of them are still good, and what they cost."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.plan import Evidence
from orchestrator.domain.pool import (
    CLOSED,
    NOT_COME,
    OUTDATED,
    SURPLUS,
    TOO_OLD,
    OpenHours,
    cost_of,
    fit_until,
    is_open,
    plan_refill,
    plan_retirement,
    plan_taking,
    starts_alike,
)
from orchestrator.domain.run import RunStatus
from orchestrator.domain.session import End, SessionStatus, Teardown
from tests.store.rows import NOW, a_run, a_session
from tests.support.pools import a_pool, an_agent

WEEKDAYS = (0, 1, 2, 3, 4)
EARLIER = NOW - timedelta(hours=1)


def warm(nonce="n1", *, age=0.0, **changes):
    """A session of a pool, ready for `age` seconds; `ready_at=None`: on its way."""
    at = NOW - timedelta(seconds=age)
    values = {
        "batch_id": "",
        "run_id": "",
        "pool": "support",
        "status": SessionStatus.ALIVE,
        "intended_at": at - timedelta(seconds=9),
        "sent_at": at - timedelta(seconds=9),
        "answered_at": at - timedelta(seconds=8),
        "ready_at": at,
        "evidence": Evidence.PRESENCE,
        "fit_until": at + timedelta(seconds=240),
    }
    return a_session(nonce, **{**values, **changes})


def on(day, clock):
    """A moment of the week in the pool's own time; 2026-11-16 is a Monday."""
    hour, minute = map(int, clock.split(":"))
    return datetime(2026, 11, 16 + day, hour, minute)  # noqa: DTZ001  local by definition


@pytest.mark.parametrize(
    ("day", "clock", "expected"),
    [(0, "08:59", False), (0, "09:00", True), (4, "17:59", True), (4, "18:00", False), (5, "12:00", False)],
)
def test_a_pool_is_open_from_the_minute_it_opens_until_the_minute_it_closes_on_its_days(day, clock, expected):
    spec = a_pool(hours=(OpenHours(days=WEEKDAYS, opens=9 * 60, closes=18 * 60),))
    assert is_open(spec, on(day, clock)) is expected


@pytest.mark.parametrize(
    ("day", "clock", "expected"),
    [(4, "21:59", False), (4, "22:00", True), (5, "05:59", True), (5, "06:00", False), (5, "22:30", False)],
)
def test_hours_that_close_before_they_open_end_on_the_next_day_whatever_that_day_is(day, clock, expected):
    spec = a_pool(hours=(OpenHours(days=WEEKDAYS, opens=22 * 60, closes=6 * 60),))
    assert is_open(spec, on(day, clock)) is expected


def test_sunday_night_hours_end_on_monday():
    spec = a_pool(hours=(OpenHours(days=(6,), opens=23 * 60, closes=60),))
    assert is_open(spec, on(0, "00:30"))
    assert not is_open(spec, on(1, "00:30"))


def test_a_pool_without_hours_is_always_open():
    assert is_open(a_pool(), on(6, "03:00"))


ASKED = st.fixed_dictionaries(
    {
        "ready": st.integers(0, 12),
        "coming": st.integers(0, 12),
        "since_start": st.none() | st.floats(0, 600),
        "alone": st.booleans(),
        "may_start": st.booleans(),
    }
)
SIZES = st.fixed_dictionaries(
    {"min_ready": st.integers(0, 10), "max_alive": st.integers(1, 20), "starts_per_minute": st.floats(0.1, 600)}
)


@given(asked=ASKED, sizes=SIZES, others=st.integers(0, 12))
def test_a_refill_never_exceeds_what_is_wanted_or_allowed_and_never_comes_early(asked, sizes, others):
    alive = asked["ready"] + asked["coming"] + others
    count = plan_refill(a_pool(**sizes), alive=alive, **asked)
    assert count >= 0
    if count:
        pace, since_start = sizes["starts_per_minute"], asked["since_start"]
        assert asked["may_start"]
        assert asked["ready"] + asked["coming"] + count <= sizes["min_ready"]
        assert alive + count <= sizes["max_alive"]
        assert since_start is None or since_start >= 60 / pace * 0.999
        assert count <= max(1, pace / 60)
        assert not asked["alone"] or (count == 1 and asked["coming"] == 0)


@given(ready=st.integers(0, 4), since_start=st.floats(1, 600))
def test_an_open_pool_that_lacks_sessions_always_starts_one_when_its_pace_allows(ready, since_start):
    count = plan_refill(
        a_pool(min_ready=5, max_alive=9),
        may_start=True,
        ready=ready,
        coming=0,
        alive=ready,
        since_start=since_start,
        alone=True,
    )
    assert count == 1


def test_sessions_of_runs_and_those_being_torn_down_leave_no_room_beyond_max_alive():
    spec = a_pool(min_ready=2, max_alive=4)
    asked = {"may_start": True, "ready": 0, "coming": 0, "since_start": None, "alone": False}
    assert plan_refill(spec, alive=4, **asked) == 0
    assert plan_refill(spec, alive=3, **asked) == 1


def retired(waiting, *, spec=None, why_empty="", defined_at=EARLIER):
    return plan_retirement(spec or a_pool(), waiting, now=NOW, why_empty=why_empty, defined_at=defined_at)


def test_a_session_waits_for_as_long_as_it_is_fit_and_no_longer():
    assert retired([warm(age=239)]) == {}
    assert retired([warm(age=240)]) == {"n1": TOO_OLD}


def test_a_bot_that_does_not_come_in_time_is_waited_for_no_longer():
    spec = a_pool(ready=60.0)
    assert retired([warm(age=51, ready_at=None, fit_until=None)], spec=spec) == {}
    assert retired([warm(age=53, ready_at=None, fit_until=None)], spec=spec) == {"n1": NOT_COME}


def test_what_was_started_for_an_older_definition_goes():
    old, new = warm("old", age=100), warm("new", age=0)
    assert retired([old, new], defined_at=NOW - timedelta(seconds=50)) == {"old": OUTDATED}


def test_a_closed_pool_lets_all_go_also_those_on_their_way():
    waiting = [warm("a"), warm("b", ready_at=None, answered_at=None, status=SessionStatus.SENT)]
    assert retired(waiting, why_empty=CLOSED) == {"a": CLOSED, "b": CLOSED}


def test_of_more_than_the_pool_keeps_those_go_first_whose_bot_is_not_there_then_the_oldest():
    waiting = [warm("old", age=100), warm("young", age=10), warm("coming", ready_at=None, fit_until=None)]
    assert retired(waiting, spec=a_pool(min_ready=2)) == {"coming": SURPLUS}
    assert retired(waiting, spec=a_pool(min_ready=1)) == {"coming": SURPLUS, "old": SURPLUS}


@given(ages=st.lists(st.floats(0, 500), max_size=12), min_ready=st.integers(0, 6))
def test_what_stays_is_fit_and_no_more_than_the_pool_keeps(ages, min_ready):
    waiting = [warm(str(number), age=age) for number, age in enumerate(ages)]
    gone = retired(waiting, spec=a_pool(min_ready=min_ready))
    left = [one for one in waiting if one.nonce not in gone]
    fit = [one for one in waiting if one.fit_until > NOW]
    assert len(left) == min(len(fit), min_ready)
    assert all(one.fit_until > NOW for one in left)


def test_a_session_is_never_fit_so_late_that_a_whole_call_would_not_fit_before_its_bounds():
    spec = a_pool(max_age=3600.0, run=900.0)
    session = warm(ends_at=NOW + timedelta(seconds=2000), room_expires_at=NOW + timedelta(seconds=9000))
    assert fit_until(spec, session, ready_at=NOW) == NOW + timedelta(seconds=2000 - 903)
    shorter = replace(session, room_expires_at=NOW + timedelta(seconds=1500))
    assert fit_until(spec, shorter, ready_at=NOW) == NOW + timedelta(seconds=1500 - 903)
    assert fit_until(a_pool(), session, ready_at=NOW) == NOW + timedelta(seconds=240)


@pytest.mark.parametrize("change", [{"name": "other"}, {"body": {"a": 1}}, {"room_properties": {"lang": "en"}}])
def test_a_pool_starts_alike_only_what_is_the_same_agent_told_the_same(change):
    assert starts_alike(an_agent(), an_agent(pool="support", exclusive=True))
    assert not starts_alike(an_agent(**change), an_agent(pool="support"))


def test_a_planned_run_that_takes_a_session_is_ready_at_once_through_every_state():
    steps = plan_taking(a_run(), warm(), at=NOW)
    assert [step.status for step in steps] == [RunStatus.STARTING, RunStatus.STARTED, RunStatus.READY]
    assert steps[-1].nonce == "n1"
    assert steps[-1].attempt == 1


@pytest.mark.parametrize("status", [status for status in RunStatus if status is not RunStatus.PLANNED])
def test_no_other_run_takes_a_session(status):
    assert plan_taking(a_run(status=status), warm(), at=NOW) == ()


def test_waiting_is_paid_from_the_start_until_a_run_takes_the_session_or_it_ends():
    hour = timedelta(hours=1)
    taken = warm("taken", age=500, taken_at=NOW - timedelta(seconds=400))
    waits = warm("waits", age=91)
    gone = warm(
        "gone",
        age=991,
        condemned_at=NOW - timedelta(seconds=810),
        session_end=End(state=Teardown.CONFIRMED, at=NOW - timedelta(seconds=800)),
    )
    never = warm("never", status=SessionStatus.REFUSED)
    lost = warm("lost", age=300, status=SessionStatus.LOST, condemned_at=NOW - timedelta(seconds=200))
    cost = cost_of([taken, waits, gone, never, lost], since=NOW - hour, now=NOW)
    assert cost.idle_seconds == pytest.approx(109 + 100 + 200)
    assert (cost.started, cost.served, cost.retired) == (4, 1, 2)
    assert cost.idle_per_hour == pytest.approx(409)


@given(ages=st.lists(st.floats(0, 7000), max_size=8), window=st.floats(1, 7200))
def test_a_pool_costs_no_more_than_its_sessions_lived_within_the_time_asked_for(ages, window):
    sessions = [warm(str(number), age=age) for number, age in enumerate(ages)]
    cost = cost_of(sessions, since=NOW - timedelta(seconds=window), now=NOW)
    assert 0 <= cost.idle_seconds <= len(ages) * window + 0.001


def test_a_faster_pool_has_every_duration_divided_and_its_pace_multiplied():
    spec = a_pool().faster(10)
    assert (spec.max_age, spec.check_every, spec.ready, spec.run) == (24, 3, 60, 90)
    assert spec.starts_per_minute == 600
    assert NOW.tzinfo is UTC
