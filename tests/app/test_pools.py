"""What the use cases on pools say and do, with and without a worker that keeps one."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from orchestrator.app import pools as cases
from orchestrator.app.collection import Collection, find_leftovers
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import Conflict, InvalidPlan, NotFound
from orchestrator.domain.pool import OpenHours
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.settings import load_settings
from orchestrator.store import audit as audit_rows
from orchestrator.store import pools as pool_rows
from orchestrator.store.database import open_store
from tests.support.bench import SPEED, Bench
from tests.support.pools import a_pool, keeping, ready, until_rows

CLOCK = SystemClock()


def create(store, spec, *, actor="me"):
    return cases.create_pool(store, spec, clock=CLOCK, actor=actor)


@pytest.fixture
def store(tmp_path):
    opened = open_store(f"sqlite:///{tmp_path}/state.db", driving=None)
    yield opened
    opened.close()


async def told_of(store, name="support"):
    entries = await store.read(partial(audit_rows.page_entries, limit=100, target=name))
    return [(entry.action, entry.actor) for entry in reversed(entries)]


async def test_the_audit_says_who_did_what_in_the_unit_that_did_it_and_nothing_that_was_not_done(store):
    await create(store, a_pool(), actor="one")
    with pytest.raises(Conflict):
        await create(store, a_pool(), actor="two")
    for _ in range(2):
        await cases.put_pool(store, a_pool(min_ready=3), clock=CLOCK, actor="three")
    for _ in range(2):
        await cases.pause_pool(store, "support", clock=CLOCK, actor="four")
    for _ in range(2):
        await cases.resume_pool(store, "support", clock=CLOCK, actor="five")
    await cases.remove_pool(store, "support", clock=CLOCK, actor="six")
    with pytest.raises(NotFound):
        await cases.remove_pool(store, "support", clock=CLOCK, actor="seven")
    assert await told_of(store) == [
        ("pool.create", "one"),
        ("pool.change", "three"),
        ("pool.pause", "four"),
        ("pool.resume", "five"),
        ("pool.remove", "six"),
    ]


async def test_the_audit_knows_what_the_service_file_did(store):
    for specs in ([a_pool()], [a_pool()], [a_pool(min_ready=1)], []):
        await cases.sync_pools(store, specs, clock=CLOCK)
    assert await told_of(store) == [
        ("pool.create", "the service file"),
        ("pool.change", "the service file"),
        ("pool.remove", "the service file"),
    ]


async def test_what_cannot_be_told_is_not_done(store, monkeypatch):
    def refuse(_connection, **_line):
        raise NotFound("the audit cannot be written")

    monkeypatch.setattr(audit_rows, "append", refuse)
    with pytest.raises(NotFound):
        await create(store, a_pool())
    assert await cases.list_pools(store, clock=CLOCK) == []


async def test_a_pool_is_put_once_then_changed_and_only_by_whoever_made_it(store):
    view, made = await cases.put_pool(store, a_pool(), clock=CLOCK, actor="me")
    assert (view.spec, made) == (a_pool(), True)
    view, made = await cases.put_pool(store, a_pool(min_ready=3), clock=CLOCK, actor="me")
    assert (view.spec.min_ready, made) == (3, False)
    await cases.sync_pools(store, [a_pool(name="by-file")], clock=CLOCK)
    with pytest.raises(Conflict, match="made by the service file") as caught:
        await cases.put_pool(store, a_pool(name="by-file"), clock=CLOCK, actor="me")
    assert caught.value.next_step


async def test_a_removed_pool_may_be_put_again(store):
    await create(store, a_pool())
    await cases.remove_pool(store, "support", clock=CLOCK, actor="me")
    assert (await cases.put_pool(store, a_pool(), clock=CLOCK, actor="me"))[1]


@pytest.mark.parametrize("way", ["create", "put", "sync"])
async def test_a_pool_larger_than_the_provider_allows_is_refused_and_nothing_is_changed(store, way):
    small, large = a_pool(name="a", max_alive=5), a_pool(name="b", max_alive=6)
    ways = {
        "create": partial(cases.create_pool, store, large, actor="me"),
        "put": partial(cases.put_pool, store, large, actor="me"),
        "sync": partial(cases.sync_pools, store, [small, large]),
    }
    with pytest.raises(InvalidPlan, match="a pool larger than the provider allows") as caught:
        await ways[way](clock=CLOCK, sessions_limit=5)
    assert caught.value.next_step
    assert await cases.list_pools(store, clock=CLOCK) == []
    await cases.sync_pools(store, [small], clock=CLOCK, sessions_limit=5)


async def test_workers_that_start_at_once_with_one_file_agree(each_url):
    stores = [open_store(each_url, driving=None) for _ in range(3)]
    specs = [a_pool(name=name) for name in "abcde"]
    changes = await asyncio.gather(*(cases.sync_pools(store, specs, clock=CLOCK) for store in stores))
    assert sorted(len(one.added) for one in changes) == [0, 0, 5]
    for store in stores:
        store.close()


async def test_a_pool_made_by_api_is_changed_paused_resumed_and_removed(store):
    await create(store, a_pool())
    changed, _made = await cases.put_pool(store, a_pool(min_ready=3), clock=CLOCK, actor="me")
    assert cases.pool_answer(changed)["min_ready"] == 3
    paused = cases.pool_answer(await cases.pause_pool(store, "support", clock=CLOCK, actor="ann"))
    assert (paused["paused_by"], paused["resting"]) == ("ann", "the pool was paused")
    assert cases.pool_answer(await cases.resume_pool(store, "support", clock=CLOCK, actor="bob"))["resting"] is None
    await cases.remove_pool(store, "support", clock=CLOCK, actor="me")
    with pytest.raises(NotFound):
        await cases.show_pool(store, "support", clock=CLOCK)


async def test_a_service_file_and_the_api_do_not_change_each_others_pools(store):
    await create(store, a_pool(name="by-api"))
    await cases.sync_pools(store, [a_pool(name="by-file")], clock=CLOCK)
    with pytest.raises(Conflict):
        await cases.remove_pool(store, "by-file", clock=CLOCK, actor="me")
    changes = await cases.sync_pools(store, [], clock=CLOCK)
    assert changes.removed == ("by-file",)
    assert [view.pool.name for view in await cases.list_pools(store, clock=CLOCK)] == ["by-api"]


async def test_a_pool_that_is_closed_at_the_moment_says_so(store):
    never = a_pool(hours=(OpenHours(days=(), opens=0, closes=1),))
    view = await create(store, never)
    assert view.resting == "the pool's hours are over"


async def test_a_definition_that_cannot_be_read_is_told_and_hides_no_other_pool(store):
    await create(store, a_pool())
    damaged = partial(pool_rows.create_pool, name="damaged", document={}, source=pool_rows.API, at=CLOCK.now())
    await store.write(damaged)
    views = {view.pool.name: view for view in await cases.list_pools(store, clock=CLOCK)}
    assert "format None" in views["damaged"].trouble
    assert views["support"].trouble == ""
    assert cases.pool_answer(views["damaged"])["agent"] is None


async def test_a_filled_pool_shows_what_waits_what_it_cost_and_how_what_served_nobody_ended(tmp_path):
    bench = Bench(folder=tmp_path)
    async with Sandbox(SandboxSettings(speed=SPEED)) as box, bench.worker(box) as worker:
        await cases.create_pool(worker.store, a_pool(max_age=20.0), clock=worker.clock, actor="me")

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
            await cases.create_pool(worker.store, a_pool(), clock=worker.clock, actor="me")

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
    view = await create(store, a_pool())
    assert view.cost.since == view.pool.created_at
    old = CLOCK.now() - timedelta(days=3)
    aged = partial(pool_rows.create_pool, name="old", document=view.pool.document, source=pool_rows.API, at=old)
    await store.write(aged)
    view = await cases.show_pool(store, "old", clock=CLOCK)
    assert view.cost.hours == pytest.approx(24)
