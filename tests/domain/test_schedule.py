"""What is done about each occurrence of a schedule, rule by rule."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.schedule import (
    ON_TIME,
    Blackout,
    FireDecision,
    Missed,
    Occurrence,
    Overlap,
    Schedule,
    condensed,
    decide,
    fire_key,
    in_blackout,
    missed_before,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)  # a Saturday
FIRED, QUEUED, SKIPPED = FireDecision.FIRED, FireDecision.QUEUED, FireDecision.SKIPPED
MISSED, BLACKED_OUT, REFUSED = FireDecision.MISSED, FireDecision.BLACKED_OUT, FireDecision.REFUSED


def a_schedule(**changes):
    values = {
        "name": "nightly",
        "plan_document": {},
        "cron": "* * * * *",
        "every": None,
        "timezone": "UTC",
        "jitter": 0.0,
        "overlap": Overlap.ALLOW,
        "missed": Missed.ALL,
        "window": 3600.0,
        "blackouts": (),
    }
    return Schedule(**{**values, **changes})


def ago(seconds, *, jitter=0.0):
    due = NOW - timedelta(seconds=seconds)
    return Occurrence(due_at=due, begins_at=due + timedelta(seconds=jitter))


def decided(schedule, *seconds_ago, open_batches=(), queued=False, refusal=""):
    due = [ago(seconds) for seconds in seconds_ago]
    found = decide(schedule, due, now=NOW, open_batches=open_batches, queued=queued, refusal=refusal)
    assert [one.due_at for one in found] == [one.due_at for one in due]
    return [one.decision for one in found]


@pytest.mark.parametrize("overlap", Overlap)
@pytest.mark.parametrize("missed", Missed)
def test_what_is_due_on_time_with_nothing_open_fires(overlap, missed):
    assert decided(a_schedule(overlap=overlap, missed=missed), 1) == [FIRED]


def test_skip_leaves_one_out_while_an_earlier_batch_is_open():
    assert decided(a_schedule(overlap=Overlap.SKIP), 1, open_batches=["b1"]) == [SKIPPED]


def test_skip_lets_the_first_of_several_fire_and_leaves_out_the_others():
    assert decided(a_schedule(overlap=Overlap.SKIP), 20, 10, 1) == [FIRED, SKIPPED, SKIPPED]


def test_queue_lets_one_wait_and_leaves_out_the_others():
    schedule = a_schedule(overlap=Overlap.QUEUE)
    assert decided(schedule, 20, 10, open_batches=["b1"]) == [QUEUED, SKIPPED]
    assert decided(schedule, 20, 10, 1) == [FIRED, QUEUED, SKIPPED]
    assert decided(schedule, 1, open_batches=["b1"], queued=True) == [SKIPPED]


def test_one_does_not_pass_another_that_waits():
    assert decided(a_schedule(overlap=Overlap.QUEUE), 1, queued=True) == [SKIPPED]


def test_cancel_ends_the_earlier_batches_and_fires():
    [one] = decide(a_schedule(overlap=Overlap.CANCEL), [ago(1)], now=NOW, open_batches=["b1", "b2"], queued=False)
    assert (one.decision, one.cancels) == (FIRED, ("b1", "b2"))


def test_cancel_begins_no_batch_that_the_next_decision_would_end_at_once():
    due = [ago(20), ago(10), ago(1)]
    found = decide(a_schedule(overlap=Overlap.CANCEL), due, now=NOW, open_batches=["b1"], queued=False)
    assert [one.decision for one in found] == [SKIPPED, SKIPPED, FIRED]
    assert [one.cancels for one in found] == [(), (), ("b1",)]


def test_allow_fires_beside_open_batches_and_cancels_none():
    found = decide(a_schedule(), [ago(20), ago(1)], now=NOW, open_batches=["b1"], queued=False)
    assert [(one.decision, one.cancels) for one in found] == [(FIRED, ()), (FIRED, ())]


def test_a_minute_late_is_on_time_and_later_is_missed():
    schedule = a_schedule(missed=Missed.SKIP)
    assert decided(schedule, ON_TIME.total_seconds()) == [FIRED]
    assert decided(schedule, ON_TIME.total_seconds() + 1) == [MISSED]


def test_late_is_counted_from_when_it_should_have_begun_with_its_jitter():
    found = decide(a_schedule(missed=Missed.SKIP), [ago(300, jitter=280)], now=NOW, open_batches=(), queued=False)
    assert [one.decision for one in found] == [FIRED]


def test_missed_skip_makes_up_for_none():
    assert decided(a_schedule(missed=Missed.SKIP), 900, 600, 1) == [MISSED, MISSED, FIRED]


def test_missed_one_makes_up_for_the_latest():
    assert decided(a_schedule(missed=Missed.ONE), 900, 600, 300) == [MISSED, MISSED, FIRED]


def test_missed_one_makes_up_for_nothing_where_one_is_on_time():
    assert decided(a_schedule(missed=Missed.ONE), 900, 600, 1) == [MISSED, MISSED, FIRED]


def test_missed_one_takes_the_latest_that_no_blackout_covers():
    dark = Blackout(begins=NOW - timedelta(seconds=400), ends=NOW - timedelta(seconds=200))
    schedule = a_schedule(missed=Missed.ONE, blackouts=(dark,))
    assert decided(schedule, 900, 600, 300) == [MISSED, FIRED, BLACKED_OUT]


def test_missed_all_makes_up_for_each_within_the_window():
    assert decided(a_schedule(window=700.0), 900, 600, 300, 1) == [MISSED, FIRED, FIRED, FIRED]


def test_nothing_older_than_the_window_is_made_up_for():
    assert decided(a_schedule(missed=Missed.ONE, window=200.0), 900, 300) == [MISSED, MISSED]


def test_what_is_made_up_for_is_held_to_the_overlap_rule():
    assert decided(a_schedule(overlap=Overlap.SKIP), 900, 600, 1) == [FIRED, SKIPPED, SKIPPED]


def test_nothing_fires_that_was_due_in_a_blackout():
    dark = Blackout(begins=NOW - timedelta(seconds=30), ends=NOW - timedelta(seconds=5))
    assert decided(a_schedule(blackouts=(dark,)), 40, 30, 10, 5) == [FIRED, BLACKED_OUT, BLACKED_OUT, FIRED]


def test_nothing_fires_during_a_blackout_whenever_it_was_due():
    dark = Blackout(begins=NOW - timedelta(seconds=5), ends=NOW + timedelta(seconds=5))
    assert decided(a_schedule(blackouts=(dark,)), 900, 10, 1) == [BLACKED_OUT] * 3


def test_a_weekly_blackout_is_read_on_the_schedules_own_clock():
    saturdays = a_schedule(timezone="Asia/Tokyo", blackouts=(Blackout(days=(5,)),))
    assert in_blackout(saturdays, datetime(2026, 11, 20, 15, tzinfo=UTC))  # midnight in Tokyo
    assert not in_blackout(saturdays, datetime(2026, 11, 20, 14, 59, tzinfo=UTC))
    assert not in_blackout(saturdays, datetime(2026, 11, 21, 15, tzinfo=UTC))


def test_a_weekly_blackout_holds_between_its_times_only():
    mornings = a_schedule(blackouts=(Blackout(days=tuple(range(7)), daily_from=6 * 60, daily_until=12 * 60),))
    assert [in_blackout(mornings, NOW.replace(hour=hour)) for hour in (5, 6, 11, 12)] == [False, True, True, False]


def test_a_plan_that_cannot_be_carried_out_fires_nothing_and_cancels_nothing():
    schedule = a_schedule(overlap=Overlap.CANCEL)
    found = decide(schedule, [ago(1)], now=NOW, open_batches=["b1"], queued=False, refusal="TENANT is not set")
    assert [(one.decision, one.reason, one.cancels) for one in found] == [(REFUSED, "TENANT is not set", ())]


def test_what_is_left_out_anyway_is_not_called_refused():
    schedule = a_schedule(missed=Missed.SKIP, blackouts=(Blackout(begins=NOW - timedelta(seconds=30), ends=NOW),))
    assert decided(schedule, 900, 20, refusal="gone") == [MISSED, BLACKED_OUT]


def test_every_decision_but_an_ordinary_fire_says_why():
    schedule = a_schedule(overlap=Overlap.QUEUE, window=700.0)
    found = decide(schedule, [ago(900), ago(600), ago(300), ago(1)], now=NOW, open_batches=(), queued=False)
    assert all(one.reason for one in found)
    assert decide(schedule, [ago(1)], now=NOW, open_batches=(), queued=False)[0].reason == ""


def test_what_was_left_out_for_one_reason_in_a_row_is_one_decision_with_its_count():
    schedule = a_schedule(missed=Missed.ONE)
    due = [ago(seconds) for seconds in (900, 800, 700, 600)]
    kept = condensed(decide(schedule, due, now=NOW, open_batches=(), queued=False))
    assert [(one.due_at, one.decision) for one in kept] == [(due[0].due_at, MISSED), (due[3].due_at, FIRED)]
    assert "2 more until 2026-11-21 11:48:20 UTC" in kept[0].reason


def test_fires_are_never_put_together():
    due = [ago(20), ago(10), ago(1)]
    kept = condensed(decide(a_schedule(), due, now=NOW, open_batches=(), queued=False))
    assert [one.decision for one in kept] == [FIRED] * 3


def test_what_is_too_old_to_be_looked_at_is_one_missed_fire():
    one = missed_before(ago(9000), until=NOW)
    assert (one.due_at, one.decision) == (NOW - timedelta(seconds=9000), MISSED)
    assert "until 2026-11-21 12:00:00 UTC" in one.reason


def test_a_fires_key_is_its_schedule_and_moment_and_fits_its_column():
    assert fire_key("nightly", NOW) == "schedule:nightly:2026-11-21T12:00:00Z"
    assert fire_key("nightly", NOW.replace(microsecond=5)) == "schedule:nightly:2026-11-21T12:00:00.000005Z"
    assert len(fire_key("n" * 80, NOW.replace(microsecond=5))) <= 128


SCHEDULES = st.builds(
    lambda overlap, missed, window, dark: a_schedule(overlap=overlap, missed=missed, window=window, blackouts=dark),
    st.sampled_from(Overlap),
    st.sampled_from(Missed),
    st.floats(0, 4000),
    st.lists(
        st.builds(
            lambda begins, length: Blackout(
                begins=NOW - timedelta(seconds=begins), ends=NOW - timedelta(seconds=begins - length)
            ),
            st.integers(0, 5000),
            st.integers(1, 1000),
        ),
        max_size=2,
    ).map(tuple),
)
SECONDS_AGO = st.lists(st.integers(0, 5000), min_size=1, max_size=12, unique=True).map(lambda one: sorted(one)[::-1])


@given(SCHEDULES, SECONDS_AGO, st.lists(st.sampled_from(["b1", "b2"]), unique=True), st.booleans())
def test_every_occurrence_is_decided_once_and_no_rule_is_broken(schedule, seconds_ago, open_batches, queued):
    due = [ago(seconds) for seconds in seconds_ago]
    found = decide(schedule, due, now=NOW, open_batches=open_batches, queued=queued)
    assert [one.due_at for one in found] == [one.due_at for one in due]
    fired = [one for one in found if one.decision is FIRED]
    waiting = [one for one in found if one.decision is QUEUED]
    for one in [*fired, *waiting]:
        late = NOW - one.due_at
        assert not in_blackout(schedule, one.due_at)
        assert not in_blackout(schedule, NOW)
        assert late <= ON_TIME or (schedule.missed is not Missed.SKIP and late.total_seconds() <= schedule.window)
    if schedule.overlap is not Overlap.ALLOW:
        assert len(fired) <= 1
    if schedule.overlap in {Overlap.SKIP, Overlap.QUEUE} and (open_batches or queued):
        assert not fired
    if schedule.overlap is not Overlap.CANCEL:
        assert not any(one.cancels for one in found)
    assert len(waiting) + queued <= 1 or schedule.overlap is not Overlap.QUEUE
    assert not waiting or schedule.overlap is Overlap.QUEUE
    if schedule.missed is Missed.ONE:
        assert sum(NOW - one.due_at > ON_TIME for one in [*fired, *waiting]) <= 1


@given(SCHEDULES, SECONDS_AGO)
def test_condensing_keeps_every_fire_and_the_first_of_all_else(schedule, seconds_ago):
    due = [ago(seconds) for seconds in seconds_ago]
    found = decide(schedule, due, now=NOW, open_batches=(), queued=False)
    kept = condensed(found)
    assert [one for one in kept if one.decision is FIRED] == [one for one in found if one.decision is FIRED]
    assert kept[0].due_at == found[0].due_at
    assert [one.due_at for one in kept] == sorted({one.due_at for one in kept})
