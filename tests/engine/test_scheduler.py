"""Each occurrence of each schedule is decided once, by whichever worker; what fires has its batch."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from orchestrator.app import schedules as cases
from orchestrator.app.selection import unable
from orchestrator.domain.batch import BatchStatus, Origin
from orchestrator.domain.errors import Conflict, StateUnusable
from orchestrator.domain.schedule import Blackout, FireDecision, Missed, Overlap
from orchestrator.domain.verdict import Outcome
from orchestrator.engine.scheduler import Scheduler
from orchestrator.plans import occurrence, plan_from_document
from orchestrator.store import batches as batch_rows
from orchestrator.store import fires as fire_rows
from orchestrator.store import runs as run_rows
from orchestrator.store import schedules as schedule_rows
from orchestrator.store.database import open_store
from tests.support.timetable import NOON, PLAN, SetClock, a_schedule, batches_in, fires_in

FIRED, QUEUED, SKIPPED = FireDecision.FIRED, FireDecision.QUEUED, FireDecision.SKIPPED
MISSED, REFUSED, BLACKED_OUT = FireDecision.MISSED, FireDecision.REFUSED, FireDecision.BLACKED_OUT
MINUTE = timedelta(minutes=1)


@pytest.fixture
def url(each_url):
    return each_url


@pytest.fixture
def store(each_store):
    return each_store


class Watch:
    """A store with schedules of a service file, and a scheduler that looks when it is told to."""

    def __init__(self, store, clock, environ):
        self.store, self.clock = store, clock
        self.lags = []
        self.scheduler = Scheduler(store=store, clock=clock, environ=environ, resolve=unable, told=self.hear)

    def hear(self, name, decision, lag):
        if decision == "fired" and lag is not None:
            self.lags.append((name, lag.total_seconds()))

    async def hold(self, *schedules):
        await cases.sync_schedules(self.store, schedules, clock=self.clock)

    async def at(self, minutes, seconds=0):
        """Look so long after noon."""
        self.clock.at = NOON + timedelta(minutes=minutes, seconds=seconds)
        await self.scheduler.look()

    async def decisions(self, name="nightly"):
        return [(int((one.due_at - NOON) / MINUTE), one.decision) for one in await fires_in(self.store, name)]

    async def close(self, batch_id):
        closed = partial(batch_rows.record_closed, batch_id=batch_id, at=self.clock.at, outcome=Outcome.PASSED)
        await self.store.write(closed)


@pytest.fixture
def watch(store):
    return Watch(store, SetClock(), {})


async def test_a_fire_is_a_batch_with_all_its_runs_that_waits_for_a_worker(watch):
    await watch.hold(a_schedule())
    await watch.at(9, 59)
    assert await batches_in(watch.store) == []

    await watch.at(10)

    [fire] = await fires_in(watch.store)
    [batch] = await batches_in(watch.store)
    assert (fire.decision, fire.batch_id, fire.manual, fire.reason) == (FIRED, batch.batch_id, False, "")
    assert (batch.owner, batch.origin, batch.schedule, batch.status) == (
        None,
        Origin.SCHEDULE,
        "nightly",
        BatchStatus.OPEN,
    )
    assert batch.client_key == "schedule:nightly:2026-11-21T12:10:00Z"
    assert plan_from_document(batch.document).name == "small"
    assert len(await watch.store.read(partial(run_rows.list_runs, batch_id=batch.batch_id))) == 2


async def test_a_moment_is_decided_once_however_often_it_is_looked_at(watch):
    await watch.hold(a_schedule(overlap=Overlap.ALLOW))
    for seconds in range(5):
        await watch.at(10, seconds)
    assert await watch.decisions() == [(10, FIRED)]


async def test_the_lag_is_from_the_moment_until_it_was_decided(watch):
    await watch.hold(a_schedule())
    await watch.at(10, 3)
    assert watch.lags == [("nightly", 3.0)]


async def test_a_fire_with_jitter_begins_later_by_its_own_time_and_keeps_its_moment(watch):
    schedule = a_schedule(jitter=300.0)
    await watch.hold(schedule)
    begins = occurrence(schedule, NOON + 10 * MINUTE).begins_at
    assert begins > NOON + 10 * MINUTE
    await watch.at(0, (begins - NOON).total_seconds() - 0.001)
    assert await watch.decisions() == []
    await watch.at(0, (begins - NOON).total_seconds())
    assert await watch.decisions() == [(10, FIRED)]
    assert watch.lags == [("nightly", 0.0)]


async def test_what_is_due_and_has_not_begun_is_not_decided_with_what_has(watch):
    schedule = a_schedule(every=60.0, jitter=60.0, overlap=Overlap.ALLOW)
    await watch.hold(schedule)
    second = occurrence(schedule, NOON + 2 * MINUTE)
    assert second.begins_at - second.due_at > timedelta(seconds=1)
    await watch.at(2, 1)
    assert await watch.decisions() == [(1, FIRED)]
    await watch.at(0, (second.begins_at - NOON).total_seconds())
    assert await watch.decisions() == [(1, FIRED), (2, FIRED)]


async def test_skip_leaves_fires_out_until_the_batch_is_closed(watch):
    await watch.hold(a_schedule())
    await watch.at(10)
    await watch.at(20)
    [batch] = await batches_in(watch.store)
    await watch.close(batch.batch_id)
    await watch.at(30)
    assert await watch.decisions() == [(10, FIRED), (20, SKIPPED), (30, FIRED)]


async def test_a_queued_fire_begins_as_soon_as_the_earlier_batch_is_closed(watch):
    await watch.hold(a_schedule(overlap=Overlap.QUEUE))
    await watch.at(10)
    await watch.at(20)
    await watch.at(30)
    assert await watch.decisions() == [(10, FIRED), (20, QUEUED), (30, SKIPPED)]
    [first] = await batches_in(watch.store)

    await watch.close(first.batch_id)
    await watch.at(31)
    await watch.at(31, 1)

    assert await watch.decisions() == [(10, FIRED), (20, FIRED), (30, SKIPPED)]
    _, second = await batches_in(watch.store)
    assert second.client_key == "schedule:nightly:2026-11-21T12:20:00Z"
    assert (await fires_in(watch.store))[1].batch_id == second.batch_id


async def test_a_queued_fire_waits_for_the_end_of_a_blackout(watch):
    dark = Blackout(begins=NOON + 25 * MINUTE, ends=NOON + 40 * MINUTE)
    await watch.hold(a_schedule(overlap=Overlap.QUEUE, blackouts=(dark,)))
    await watch.at(10)
    await watch.at(20)
    [first] = await batches_in(watch.store)
    await watch.close(first.batch_id)
    await watch.at(35)
    assert (await watch.decisions())[1] == (20, QUEUED)
    await watch.at(40)
    assert await watch.decisions() == [(10, FIRED), (20, FIRED), (30, BLACKED_OUT), (40, QUEUED)]


async def test_cancel_asks_to_cancel_the_open_batch_and_begins(watch):
    await watch.hold(a_schedule(overlap=Overlap.CANCEL))
    await watch.at(10)
    await watch.at(20)
    first, second = await batches_in(watch.store)
    assert first.cancel_asked_at == NOON + 20 * MINUTE
    assert first.cancel_reason == "schedule nightly fired again"
    assert second.cancel_asked_at is None
    assert await watch.decisions() == [(10, FIRED), (20, FIRED)]


async def test_what_came_due_while_no_worker_was_there_is_made_up_for_once(watch):
    await watch.hold(a_schedule(missed=Missed.ONE))
    await watch.at(47)
    assert await watch.decisions() == [(10, MISSED), (40, FIRED)]
    missed, made_up = await fires_in(watch.store)
    assert "2 more until 2026-11-21 12:30:00 UTC" in missed.reason
    assert "makes up for it" in made_up.reason


async def test_all_that_was_missed_within_the_window_is_made_up_for(watch):
    await watch.hold(a_schedule(missed=Missed.ALL, overlap=Overlap.ALLOW, window=1500.0))
    await watch.at(47)
    assert await watch.decisions() == [(10, MISSED), (30, FIRED), (40, FIRED)]
    assert "all others until 2026-11-21 12:30:00 UTC" in (await fires_in(watch.store))[0].reason


async def test_an_outage_of_months_is_one_line_and_the_window(watch):
    await watch.hold(a_schedule(every=60.0, missed=Missed.SKIP, window=600.0))
    await watch.at(90 * 24 * 60, 30)
    found = await fires_in(watch.store)
    assert [one.decision for one in found] == [MISSED, MISSED, FIRED]
    assert found[0].due_at == NOON + MINUTE
    assert "so it was with all others until" in found[0].reason


async def test_making_up_for_many_takes_several_looks_and_loses_none(watch):
    await watch.hold(a_schedule(every=60.0, missed=Missed.ALL, overlap=Overlap.ALLOW, window=7200.0))
    await watch.at(120, 30)
    assert len(await batches_in(watch.store)) == 50
    await watch.at(120, 31)
    await watch.at(120, 32)
    await watch.at(120, 33)
    assert await watch.decisions() == [(minute, FIRED) for minute in range(1, 121)]


async def test_a_paused_schedule_rests_and_what_it_missed_is_not_made_up_for(watch):
    await watch.hold(a_schedule())
    await cases.pause_schedule(watch.store, "nightly", clock=watch.clock, actor="ops")
    await watch.at(25)
    await cases.resume_schedule(watch.store, "nightly", clock=watch.clock, actor="ops")
    await watch.at(26)
    assert await watch.decisions() == []
    await watch.at(30)
    assert await watch.decisions() == [(30, FIRED)]


async def test_a_plan_whose_variable_is_gone_is_refused_with_its_name_and_stops_no_other(store):
    templated = PLAN + "env: [TENANT]\n"
    watch = Watch(store, SetClock(), {})
    await watch.hold(a_schedule("a", plan=templated, environ={"TENANT": "x"}, overlap=Overlap.CANCEL), a_schedule("b"))
    await watch.at(10)
    [refused] = await fires_in(store, "a")
    assert (refused.decision, refused.batch_id) == (REFUSED, None)
    assert "TENANT is not set" in refused.reason
    assert await watch.decisions("b") == [(10, FIRED)]


async def test_a_refused_fire_cancels_nothing(store):
    environ = {"TENANT": "x"}
    watch = Watch(store, SetClock(), environ)
    await watch.hold(a_schedule(plan=PLAN + "env: [TENANT]\n", environ=environ, overlap=Overlap.CANCEL))
    await watch.at(10)
    environ.clear()
    await watch.at(20)
    [batch] = await batches_in(store)
    assert batch.cancel_asked_at is None
    assert await watch.decisions() == [(10, FIRED), (20, REFUSED)]


async def test_a_schedule_that_cannot_be_read_stops_no_other(watch):
    await watch.hold(a_schedule("a"), a_schedule("b"))
    damage = partial(schedule_rows._set, name="a", document={"format": 1, "schedule": {}})
    await watch.store.write(damage)
    await watch.at(10)
    await watch.at(10, 1)
    assert await watch.decisions("a") == []
    assert await watch.decisions("b") == [(10, FIRED)]


async def test_a_batch_that_has_the_fires_key_already_is_not_made_twice(watch):
    await watch.hold(a_schedule())
    await watch.at(10)
    [batch] = await batches_in(watch.store)
    await watch.close(batch.batch_id)

    def forget(connection):
        connection.execute(fire_rows.fires.delete())
        schedule_rows._set(connection, "nightly", considered_until=NOON)

    await watch.store.write(forget)
    await watch.at(10, 5)

    [fire] = await fires_in(watch.store)
    assert (fire.decision, fire.reason) == (REFUSED, f"batch {batch.batch_id} has the key of this fire")
    assert len(await batches_in(watch.store)) == 1


async def test_a_clock_that_was_set_back_makes_nothing_due_again_and_holds_nothing_up(watch):
    await watch.hold(a_schedule(overlap=Overlap.ALLOW))
    await watch.at(20)
    await watch.store.write(partial(schedule_rows._set, name="nightly", considered_until=NOON))
    await watch.at(20, 30)
    assert await watch.decisions() == [(10, MISSED), (20, FIRED)]
    await watch.at(30)
    assert await watch.decisions() == [(10, MISSED), (20, FIRED), (30, FIRED)]
    assert len(await batches_in(watch.store)) == 2


async def test_a_changed_rule_counts_from_the_change_and_a_changed_plan_keeps_what_was_missed(watch):
    await watch.hold(a_schedule("rule"), a_schedule("plan"))
    watch.clock.at = NOON + 25 * MINUTE
    await watch.hold(a_schedule("rule", every=300.0), a_schedule("plan", plan=PLAN.replace("101", "102")))
    await watch.at(26)
    assert await watch.decisions("rule") == []
    assert await watch.decisions("plan") == [(10, MISSED), (20, FIRED)]
    [batch] = await batches_in(watch.store)
    assert plan_from_document(batch.document).scenarios[0].scenario_id == 102


async def test_a_removed_schedule_fires_no_more_and_what_waited_is_left_out(watch):
    await watch.hold(a_schedule(overlap=Overlap.QUEUE))
    await watch.at(10)
    await watch.at(20)
    await watch.hold()
    await watch.at(30)
    assert await watch.decisions() == [(10, FIRED), (20, SKIPPED)]
    assert (await fires_in(watch.store))[1].reason == "its schedule was removed"


async def test_a_schedule_that_comes_back_counts_from_then(watch):
    await watch.hold(a_schedule())
    await watch.hold()
    watch.clock.at = NOON + 45 * MINUTE
    await watch.hold(a_schedule())
    await watch.at(46)
    assert await watch.decisions() == []


async def test_a_state_that_cannot_be_used_ends_no_scheduler(watch):
    await watch.hold(a_schedule())
    real = watch.store.read

    async def broken(_work):
        raise StateUnusable("the disk is gone")

    watch.store.read = broken
    await watch.at(10)
    watch.store.read = real
    await watch.at(10, 1)
    assert await watch.decisions() == [(10, FIRED)]


async def test_a_moment_decided_by_another_since_it_was_read_is_left_to_them(watch, url):
    await watch.hold(a_schedule(overlap=Overlap.ALLOW))
    other_store = open_store(url, driving=None)
    other = Watch(other_store, watch.clock, {})
    real = watch.store.write

    async def after_the_other(work):
        await other.scheduler.look()
        return await real(work)

    watch.store.write = after_the_other
    await watch.at(10)
    watch.store.write = real
    assert await watch.decisions() == [(10, FIRED)]
    assert (len(other.lags), watch.lags) == (1, [])
    other_store.close()


@pytest.mark.parametrize("overlap", Overlap)
async def test_over_many_workers_that_look_at_once_no_fire_is_lost_or_doubled(url, overlap):
    stores = [open_store(url, driving=None) for _ in range(3)]
    clock = SetClock()
    watches = [Watch(store, clock, {}) for store in stores]
    names = ["a", "b", "c"]
    await watches[0].hold(*(a_schedule(name, every=60.0, overlap=overlap) for name in names))
    for minute in range(1, 13):
        clock.at = NOON + minute * MINUTE
        await asyncio.gather(*(watch.scheduler.look() for watch in watches for _ in range(2)))
        for batch in (await batches_in(stores[0]))[-3:] if minute % 3 == 0 else []:
            await watches[minute % 2].close(batch.batch_id)
    await asyncio.gather(*(watch.scheduler.look() for watch in watches))
    made = await batches_in(stores[0])
    for name in names:
        fires = await fires_in(stores[1], name)
        assert [int((one.due_at - NOON) / MINUTE) for one in fires] == list(range(1, 13))
        fired = [one.batch_id for one in fires if one.decision is FIRED]
        assert len(fired) == len(set(fired))
        assert set(fired) == {batch.batch_id for batch in made if batch.schedule == name}
        if overlap in {Overlap.ALLOW, Overlap.CANCEL}:
            assert len(fired) == 12
    for store in stores:
        store.close()


async def test_running_it_looks_once_a_second_until_cancelled(store):
    clock = SetClock(NOON + timedelta(minutes=9, seconds=57))
    watch = Watch(store, clock, {})
    await watch.hold(a_schedule(overlap=Overlap.ALLOW))
    running = asyncio.create_task(watch.scheduler.run())
    while clock.at < NOON + 21 * MINUTE:  # noqa: ASYNC110  the clock moves with each look
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    assert (await watch.decisions())[:2] == [(10, FIRED), (20, FIRED)]


# --- by hand ---------------------------------------------------------------------------------------------------------


async def by_hand(watch, **options):
    fire, _new = await cases.fire_now(watch.store, "nightly", clock=watch.clock, environ={}, actor="ops", **options)
    return fire


async def test_a_manual_fire_begins_at_once_also_while_paused_and_in_a_blackout(watch):
    dark = Blackout(begins=NOON - MINUTE, ends=NOON + MINUTE)
    await watch.hold(a_schedule(blackouts=(dark,), paused=True, jitter=300.0))
    fire = await by_hand(watch)
    [batch] = await batches_in(watch.store)
    assert (fire.decision, fire.manual, fire.batch_id) == (FIRED, True, batch.batch_id)
    assert (batch.schedule, batch.origin) == ("nightly", Origin.SCHEDULE)


async def test_a_manual_fire_beside_an_open_batch_is_refused_where_the_rule_is_skip(watch):
    await watch.hold(a_schedule())
    await by_hand(watch)
    watch.clock.at += MINUTE
    with pytest.raises(Conflict, match="is open") as caught:
        await by_hand(watch)
    assert "--overlap allow" in caught.value.next_step
    assert len(await fires_in(watch.store)) == 1
    assert (await by_hand(watch, overlap=Overlap.ALLOW)).decision is FIRED


async def test_a_manual_fire_waits_or_cancels_as_the_rule_says(watch):
    await watch.hold(a_schedule(overlap=Overlap.QUEUE))
    first = await by_hand(watch)
    watch.clock.at += MINUTE
    assert (await by_hand(watch)).decision is QUEUED
    watch.clock.at += MINUTE
    with pytest.raises(Conflict, match="one fire waits already"):
        await by_hand(watch)
    assert (await by_hand(watch, overlap=Overlap.CANCEL)).decision is FIRED
    batch = await watch.store.read(partial(batch_rows.get_batch, batch_id=first.batch_id))
    assert batch.cancel_asked_at is not None


async def test_scheduled_fires_count_a_manual_batch_as_open(watch):
    await watch.hold(a_schedule())
    await by_hand(watch)
    await watch.at(10)
    assert await watch.decisions() == [(0, FIRED), (10, SKIPPED)]


@pytest.mark.parametrize("overlap", [Overlap.ALLOW, Overlap.QUEUE])
async def test_whoever_fires_twice_with_one_key_gets_one_fire(watch, overlap):
    await watch.hold(a_schedule(overlap=overlap))
    await by_hand(watch)
    watch.clock.at += MINUTE
    first = await by_hand(watch, client_key="k1")
    watch.clock.at += MINUTE
    assert await by_hand(watch, client_key="k1") == first
    assert len(await fires_in(watch.store)) == 2


async def test_a_manual_fire_of_a_plan_that_cannot_be_carried_out_says_why(store):
    watch = Watch(store, SetClock(), {})
    await watch.hold(a_schedule(plan=PLAN + "env: [TENANT]\n", environ={"TENANT": "x"}))
    with pytest.raises(Conflict, match="TENANT is not set"):
        await by_hand(watch)
    assert await fires_in(store) == []
