"""What the use cases on pools say and do, with and without a worker that keeps one."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from orchestrator.app import pools as cases
from orchestrator.app.collection import Collection, find_leftovers
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import Conflict, NotFound
from orchestrator.domain.pool import OpenHours
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.settings import load_settings
from orchestrator.store import pools as pool_rows
from orchestrator.store.database import open_store
from tests.support.bench import SPEED, Bench
from tests.support.pools import a_pool, keeping, ready, until_rows

CLOCK = SystemClock()


@pytest.fixture
def store(tmp_path):
    opened = open_store(f"sqlite:///{tmp_path}/state.db", driving=None)
    yield opened
    opened.close()


def noting(notes, text):
    return lambda connection: notes.append((text, connection is not None))


async def test_what_is_noted_is_noted_in_the_unit_of_the_change_and_not_where_that_fails(store):
    notes = []
    await cases.create_pool(store, a_pool(), clock=CLOCK, note=noting(notes, "created"))
    with pytest.raises(Conflict):
        await cases.create_pool(store, a_pool(), clock=CLOCK, note=noting(notes, "created again"))
    await cases.pause_pool(store, "support", clock=CLOCK, actor="ann", note=noting(notes, "paused"))
    assert notes == [("created", True), ("paused", True)]


async def test_a_note_that_fails_takes_its_change_back(store):
    def refuse(_connection):
        raise NotFound("the audit cannot be written")

    with pytest.raises(NotFound):
        await cases.create_pool(store, a_pool(), clock=CLOCK, note=refuse)
    assert await cases.list_pools(store, clock=CLOCK) == []


async def test_a_pool_made_by_api_is_changed_paused_resumed_and_removed(store):
    await cases.create_pool(store, a_pool(), clock=CLOCK)
    changed = await cases.replace_pool(store, a_pool(min_ready=3), clock=CLOCK)
    assert cases.pool_answer(changed)["min_ready"] == 3
    paused = cases.pool_answer(await cases.pause_pool(store, "support", clock=CLOCK, actor="ann"))
    assert (paused["paused_by"], paused["resting"]) == ("ann", "the pool was paused")
    assert cases.pool_answer(await cases.resume_pool(store, "support", clock=CLOCK))["resting"] is None
    await cases.remove_pool(store, "support", clock=CLOCK)
    with pytest.raises(NotFound):
        await cases.show_pool(store, "support", clock=CLOCK)


async def test_a_service_file_and_the_api_do_not_change_each_others_pools(store):
    await cases.create_pool(store, a_pool(name="by-api"), clock=CLOCK)
    await cases.sync_pools(store, [a_pool(name="by-file")], clock=CLOCK)
    with pytest.raises(Conflict):
        await cases.remove_pool(store, "by-file", clock=CLOCK)
    changes = await cases.sync_pools(store, [], clock=CLOCK)
    assert changes.removed == ("by-file",)
    assert [view.pool.name for view in await cases.list_pools(store, clock=CLOCK)] == ["by-api"]


async def test_a_pool_that_is_closed_at_the_moment_says_so(store):
    never = a_pool(hours=(OpenHours(days=(), opens=0, closes=1),))
    view = await cases.create_pool(store, never, clock=CLOCK)
    assert view.resting == "the pool's hours are over"


async def test_a_definition_that_cannot_be_read_is_told_and_hides_no_other_pool(store):
    await cases.create_pool(store, a_pool(), clock=CLOCK)
    damaged = partial(pool_rows.create_pool, name="damaged", document={}, source=pool_rows.API, at=CLOCK.now())
    await store.write(damaged)
    views = {view.pool.name: view for view in await cases.list_pools(store, clock=CLOCK)}
    assert "format None" in views["damaged"].trouble
    assert views["support"].trouble == ""
    assert cases.pool_answer(views["damaged"])["agent"] is None


async def test_a_filled_pool_shows_what_waits_what_it_cost_and_how_what_served_nobody_ended(tmp_path):
    bench = Bench(folder=tmp_path)
    async with Sandbox(SandboxSettings(speed=SPEED)) as box, bench.worker(box) as worker:
        await cases.create_pool(worker.store, a_pool(max_age=20.0), clock=worker.clock)

        async def one_was_replaced():
            view = await cases.show_pool(worker.store, "support", clock=worker.clock)
            return view.unused and all(one.torn_down for one in view.unused) and len(view.ready) == 2

        async with keeping(worker, speed=SPEED):
            await until_rows(one_was_replaced)
            view = await cases.show_pool(worker.store, "support", clock=worker.clock)
            paid = box.world()["paid_seconds"]
    answer = cases.pool_answer(view)
    assert answer["sessions"]["ready"] == 2
    assert {one["evidence"] for one in answer["waiting"] if one["ready_at"]} == {"presence"}
    assert answer["unused"]["sessions"] == len(view.unused) == answer["cost"]["retired"]
    assert answer["unused"]["left"] == answer["unused"]["bounded"] == []
    assert answer["cost"]["served"] == 0
    assert 0 < answer["cost"]["idle_seconds"] * SPEED <= paid * 1.5
    assert answer["trouble"] is None


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_gc_ends_what_waits_in_the_pools_of_a_worker_that_was_killed(tmp_path, request, database):
    bench = Bench(folder=tmp_path)
    url = f"sqlite:///{tmp_path}/state.db" if database == "sqlite" else request.getfixturevalue("postgres_url")
    state = {"ORCHESTRATOR_DATABASE_URL": url}
    async with Sandbox(SandboxSettings(speed=SPEED)) as box:
        async with bench.worker(box, **state) as worker:
            await cases.create_pool(worker.store, a_pool(), clock=worker.clock)

            async def filled():
                return len(await ready(worker.store)) == 2

            async with keeping(worker, speed=SPEED, worker_id=worker.membership.worker_id):
                await until_rows(filled)
        assert len(box.world()["sessions"]["alive"]) == 2
        values = {**box.environment(), **state}
        async with bench.worker(box, **state) as worker:
            leftovers = await find_leftovers(worker.store)
            assert len(leftovers.sessions) == 2
            async with asyncio.timeout(60):
                await Collection(worker, load_settings(values), leftovers=leftovers, plan=None).run()
        world = box.world()
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == []


async def test_the_cost_of_a_pool_is_that_of_its_last_day(store):
    view = await cases.create_pool(store, a_pool(), clock=CLOCK)
    assert view.cost.since == view.pool.created_at
    old = CLOCK.now() - timedelta(days=3)
    aged = partial(pool_rows.create_pool, name="old", document=view.pool.document, source=pool_rows.API, at=old)
    await store.write(aged)
    view = await cases.show_pool(store, "old", clock=CLOCK)
    assert view.cost.hours == pytest.approx(24)
