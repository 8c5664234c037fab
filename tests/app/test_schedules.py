"""What a person sees of schedules, and what they may change about them."""

import asyncio
import json
from datetime import timedelta
from functools import partial

import pytest

from orchestrator.app import schedules as cases
from orchestrator.app.schedule_documents import schedule_answer
from orchestrator.domain.errors import Conflict, NotFound
from orchestrator.domain.schedule import Blackout, FireDecision, MadeBy, Overlap
from orchestrator.store import audit as audit_rows
from orchestrator.store import schedules as schedule_rows
from orchestrator.store.database import open_store
from tests.support.timetable import NOON, PLAN, SetClock, a_schedule, batches_in, fires_in


@pytest.fixture
def url(each_url):
    return each_url


@pytest.fixture
def store(each_store):
    return each_store


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def sync(store, clock):
    """Follows a service file with these schedules."""
    return lambda *schedules: cases.sync_schedules(store, schedules, clock=clock)


@pytest.fixture
def show(store, clock):
    return partial(cases.show_schedule, store, clock=clock)


async def test_the_schedules_of_a_file_are_added_changed_and_removed_with_it(store, clock, sync):
    synced = await sync(a_schedule("a"), a_schedule("b"))
    assert (synced.added, synced.changed, synced.removed) == (("a", "b"), (), ())

    synced = await sync(a_schedule("b", jitter=5.0), a_schedule("c"))
    assert (synced.added, synced.changed, synced.removed) == (("c",), ("b",), ("a",))

    synced = await sync(a_schedule("b", jitter=5.0), a_schedule("c"))
    assert (synced.added, synced.changed, synced.removed) == ((), (), ())
    assert [view.record.name for view in await cases.list_schedules(store, clock=clock)] == ["b", "c"]


async def test_what_was_made_by_api_is_left_alone_by_a_file(store, clock, sync):
    await cases.create_schedule(store, a_schedule("mine"), clock=clock, actor="me")
    await sync(a_schedule("a"))
    await sync()
    [view] = await cases.list_schedules(store, clock=clock)
    assert (view.record.name, view.record.made_by) == ("mine", MadeBy.API)


async def test_a_name_that_was_taken_by_api_stops_the_whole_file_and_says_what_to_do(store, clock, sync):
    await cases.create_schedule(store, a_schedule("mine"), clock=clock, actor="me")
    with pytest.raises(Conflict, match="the schedule mine was made by the API") as caught:
        await sync(a_schedule("a"), a_schedule("mine"))
    assert "Rename the one in the service file" in caught.value.next_step
    assert [view.record.name for view in await cases.list_schedules(store, clock=clock)] == ["mine"]


async def test_workers_that_start_at_once_with_one_file_agree(url, clock):
    stores = [open_store(url, driving=None) for _ in range(3)]
    schedules = [a_schedule(name) for name in "abcde"]
    synced = await asyncio.gather(*(cases.sync_schedules(store, schedules, clock=clock) for store in stores))
    assert sorted(len(one.added) for one in synced) == [0, 0, 5]
    for store in stores:
        store.close()


async def test_a_pause_by_a_person_outlives_the_file_and_one_by_the_file_ends_with_it(store, clock, sync, show):
    await sync(a_schedule("a"), a_schedule("b", paused=True))
    assert ((await show("b")).record.paused_by, (await show("b")).next_fire) == ("the service file", None)
    await cases.pause_schedule(store, "a", clock=clock, actor="ops")
    clock.at += timedelta(minutes=25)

    await sync(a_schedule("a"), a_schedule("b"))

    assert ((await show("a")).record.paused_by, (await show("b")).record.paused_by) == ("ops", None)
    assert (await show("b")).record.considered_until == clock.at


async def test_the_first_pause_stays(store, clock, sync, show):
    await sync(a_schedule("a"))
    await cases.pause_schedule(store, "a", clock=clock, actor="one")
    clock.at += timedelta(minutes=1)
    await cases.pause_schedule(store, "a", clock=clock, actor="two")
    record = (await show("a")).record
    assert (record.paused_by, record.paused_at) == ("one", NOON)


async def test_a_schedule_is_made_once_by_api_and_replaced_keeping_its_pause(store, clock, show):
    await cases.create_schedule(store, a_schedule("a"), clock=clock, actor="me")
    clock.at += timedelta(seconds=1)
    with pytest.raises(Conflict, match="there is a schedule a already"):
        await cases.create_schedule(store, a_schedule("a"), clock=clock, actor="me")
    await cases.pause_schedule(store, "a", clock=clock, actor="ops")
    clock.at += timedelta(minutes=30)

    view, made = await cases.put_schedule(store, a_schedule("a", every=300.0), clock=clock, actor="me")

    assert not made
    assert view.schedule == (await show("a")).schedule == a_schedule("a", every=300.0)
    assert (view.record.paused_by, view.record.considered_until) == ("ops", clock.at)


async def test_only_who_made_a_schedule_may_replace_or_remove_it(store, clock, sync):
    await sync(a_schedule("a"))
    for change in (
        cases.put_schedule(store, a_schedule("a", every=300.0), clock=clock, actor="me"),
        cases.remove_schedule(store, "a", clock=clock, actor="me"),
    ):
        with pytest.raises(Conflict, match="made by the service file") as caught:
            await change
        assert "Change it in the service file" in caught.value.next_step


async def test_a_removed_schedule_is_gone_and_may_be_made_again(store, clock, show):
    await cases.create_schedule(store, a_schedule("a"), clock=clock, actor="me")
    await cases.fire_now(store, "a", clock=clock, environ={}, actor="me")
    await cases.remove_schedule(store, "a", clock=clock, actor="me")
    with pytest.raises(NotFound, match="no schedule a"):
        await show("a")
    assert await cases.list_schedules(store, clock=clock) == []
    assert len(await batches_in(store)) == 1

    clock.at += timedelta(minutes=1)
    await cases.create_schedule(store, a_schedule("a"), clock=clock, actor="me")
    assert [fire.manual for fire in (await show("a")).fires] == [True]


@pytest.mark.parametrize("change", ["pause_schedule", "resume_schedule", "remove_schedule", "fire_now", "fires_of"])
async def test_what_is_not_there_is_named(store, clock, change):
    more = {"fire_now": {"clock": clock, "actor": "me", "environ": {}}, "fires_of": {"limit": 5}}
    with pytest.raises(NotFound, match="no schedule lost") as caught:
        await getattr(cases, change)(store, "lost", **more.get(change, {"clock": clock, "actor": "me"}))
    assert "schedules list" in caught.value.next_step


async def test_the_next_ten_are_shown_with_their_jitter_and_what_a_blackout_covers(sync, show):
    dark = Blackout(begins=NOON, ends=NOON + timedelta(minutes=25))
    await sync(a_schedule("a", blackouts=(dark,), jitter=60.0))
    view = await show("a")
    assert [one.occurrence.due_at for one in view.upcoming] == [
        NOON + timedelta(minutes=10 * count) for count in range(1, 11)
    ]
    assert [one.blacked_out for one in view.upcoming] == [True, True] + [False] * 8
    assert all(
        timedelta(0) <= one.occurrence.begins_at - one.occurrence.due_at < timedelta(seconds=60)
        for one in view.upcoming
    )
    assert view.next_fire.occurrence.due_at == NOON + timedelta(minutes=30)


async def test_a_list_finds_the_next_fire_behind_a_long_blackout(store, clock, sync):
    dark = Blackout(begins=NOON, ends=NOON + timedelta(days=2))
    await sync(a_schedule("a", blackouts=(dark,)))
    [view] = await cases.list_schedules(store, clock=clock)
    assert view.next_fire.occurrence.due_at == NOON + timedelta(days=2)


async def test_fires_come_in_pages_the_latest_first(store, clock, sync):
    await sync(a_schedule("a", overlap=Overlap.ALLOW))
    for _ in range(5):
        clock.at += timedelta(minutes=1)
        await cases.fire_now(store, "a", clock=clock, environ={}, actor="me")
    first = await cases.fires_of(store, "a", limit=3)
    rest = await cases.fires_of(store, "a", limit=3, before=first[-1].due_at)
    assert [*first, *rest] == (await fires_in(store, "a"))[::-1]
    assert (await cases.list_schedules(store, clock=clock))[0].fires == (first[0],)


async def test_a_schedule_that_cannot_be_read_is_shown_with_its_trouble(store, clock, sync, show):
    await sync(a_schedule("a"))
    await store.write(partial(schedule_rows._set, name="a", document={"format": 7}))
    view = await show("a")
    assert (view.schedule, view.next_fire) == (None, None)
    assert "format 7" in view.trouble
    assert schedule_answer(view)["trouble"] == view.trouble


async def test_the_answer_is_json_and_names_the_plan_but_does_not_repeat_it(sync, show):
    weekend = Blackout(days=(5, 6), daily_from=60, daily_until=1440)
    await sync(a_schedule("a", plan=PLAN, timezone="Europe/Berlin", blackouts=(weekend,)))
    answer = json.loads(json.dumps(schedule_answer(await show("a"))))
    assert (answer["name"], answer["made_by"], answer["every"], answer["overlap"]) == ("a", "config", 600.0, "skip")
    assert answer["plan"]["runs"] == 2
    assert answer["blackouts"] == [{"days": ["sat", "sun"], "from": "01:00", "until": "24:00"}]
    assert answer["next"][0] == {
        "due_at": "2026-11-21T12:10:00+00:00",
        "due_local": "2026-11-21T13:10:00+01:00",
        "begins_at": "2026-11-21T12:10:00+00:00",
        "blacked_out": True,
    }


async def test_a_fires_answer_names_its_batch(store, clock, sync, show):
    await sync(a_schedule("a"))
    fire, _new = await cases.fire_now(store, "a", clock=clock, environ={}, actor="me")
    [answer] = schedule_answer(await show("a"))["fires"]
    assert (answer["batch"], answer["decision"], answer["manual"]) == (fire.batch_id, FireDecision.FIRED, True)


async def told_of(store, name):
    entries = await store.read(partial(audit_rows.page_entries, limit=100, target=name))
    return [(entry.action, entry.actor) for entry in reversed(entries)]


async def test_the_audit_says_who_changed_and_fired_what_and_nothing_that_was_not_done(store, clock, sync):
    await sync(a_schedule("a"))
    await sync(a_schedule("a"))
    for _ in range(2):
        await cases.pause_schedule(store, "a", clock=clock, actor="one")
    for _ in range(2):
        await cases.resume_schedule(store, "a", clock=clock, actor="two")
    for new in (True, False):
        fire = await cases.fire_now(store, "a", clock=clock, environ={}, actor="three", client_key="k")
        assert fire[1] == new
        clock.at += timedelta(minutes=1)
    with pytest.raises(Conflict):
        await cases.fire_now(store, "a", clock=clock, environ={}, actor="four")
    await sync()
    assert await told_of(store, "a") == [
        ("schedule.create", "the service file"),
        ("schedule.pause", "one"),
        ("schedule.resume", "two"),
        ("schedule.fire", "three"),
        ("schedule.remove", "the service file"),
    ]


async def test_the_audit_knows_what_was_done_by_api(store, clock):
    await cases.create_schedule(store, a_schedule("a"), clock=clock, actor="me")
    for _ in range(2):
        clock.at += timedelta(minutes=1)
        await cases.put_schedule(store, a_schedule("a", jitter=5.0), clock=clock, actor="you")
    await cases.remove_schedule(store, "a", clock=clock, actor="me")
    assert await told_of(store, "a") == [
        ("schedule.create", "me"),
        ("schedule.change", "you"),
        ("schedule.remove", "me"),
    ]
