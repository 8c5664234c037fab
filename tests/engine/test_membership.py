"""A worker among others: what it owned is its own while its lease holds, and another's once it was fenced."""

import asyncio
from functools import partial

import pytest

from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.errors import Disowned
from orchestrator.domain.worker import WorkerStatus
from orchestrator.engine.ledger import Ledger
from orchestrator.engine.membership import Membership
from orchestrator.store import batches, pools, workers
from orchestrator.store.database import open_store
from tests.store.rows import NOW, a_batch, a_run
from tests.support.hand_clock import HandClock

LEASE = 2.0


@pytest.fixture
def store(postgres_url):
    store = open_store(postgres_url, driving="test")
    yield store
    store.close()


@pytest.fixture
def member(store):
    """Joins a worker whose own clock is moved by hand; the database's goes on by itself."""

    async def join(lease=LEASE):
        membership = Membership(store=store, clock=HandClock(), lease=lease)
        await membership.join()
        return membership

    return join


async def expire(store, worker_id):
    """Let a lease run out, by the database's clock."""

    def unit(connection):
        past = workers.now_of(connection, now=NOW).replace(year=2020)
        connection.execute(
            workers.update(workers.workers).where(workers.workers.c.worker_id == worker_id).values(lease_until=past)
        )

    await store.write(unit)


async def statuses(store):
    records = await store.read(workers.list_workers)
    now = await store.read(partial(workers.now_of, now=NOW))
    return {one.worker_id: one.status(now) for one in records}


async def own_a_batch(store, worker_id, batch_id="b1"):
    await store.write(partial(batches.record_batch, batch=a_batch(batch_id=batch_id), planned=[a_run(1)]))
    return await store.write(partial(batches.claim_batch, batch_id=batch_id, worker_id=worker_id))


async def test_a_batch_goes_to_one_of_the_workers_that_ask_for_it_at_once(store, member, postgres_url):
    for number in range(20):
        await store.write(partial(batches.record_batch, batch=a_batch(batch_id=f"b{number:02}"), planned=[]))
    first, second = await member(), await member()
    other = open_store(postgres_url, driving="test")
    try:
        asking = [(store, first), (other, second)] * 10
        claims = [
            beside.write(partial(batches.claim_batches, worker_id=worker.worker_id, most=3))
            for beside, worker in asking
        ]
        taken = [batch.batch_id for claimed in await asyncio.gather(*claims) for batch in claimed]
    finally:
        other.close()
    assert sorted(taken) == [f"b{number:02}" for number in range(20)]


async def test_a_worker_whose_lease_ran_out_is_fenced_and_what_it_owned_is_free(store, member):
    dead, living = await member(), await member()
    await own_a_batch(store, dead.worker_id)
    await expire(store, dead.worker_id)
    await living.beat()
    assert (await store.read(partial(batches.get_batch, batch_id="b1"))).owner is None
    assert await statuses(store) == {dead.worker_id: WorkerStatus.FENCED, living.worker_id: WorkerStatus.ALIVE}
    assert living.workers == 1


async def test_a_worker_that_renews_in_time_is_left_alone(store, member):
    first, second = await member(), await member()
    await own_a_batch(store, first.worker_id)
    for _ in range(3):
        await first.beat()
        await second.beat()
    assert (await store.read(partial(batches.get_batch, batch_id="b1"))).owner == first.worker_id
    assert first.workers == second.workers == 2


async def test_a_worker_that_was_frozen_hears_that_it_was_fenced_before_it_may_pay(store, member):
    frozen, other = await member(), await member()
    name, let_go = frozen.worker_id, asyncio.Event()

    async def on_fenced():
        let_go.set()

    frozen.on_fenced = on_fenced
    await expire(store, name)
    await other.beat()
    frozen._clock.at += 10 * LEASE
    assert not frozen.held
    asking = asyncio.create_task(frozen.sure())
    done, _ = await asyncio.wait({asking}, timeout=0.05)
    assert not done, "it must wait for what the state says"
    await frozen.beat()
    assert await asking is False
    assert let_go.is_set()
    assert frozen.worker_id != name
    assert frozen.held


async def test_a_worker_that_was_slow_but_not_fenced_goes_on_once_the_state_has_said_so(store, member):
    slow = await member()
    slow._clock.at += 10 * LEASE
    asking = asyncio.create_task(slow.sure())
    await asyncio.sleep(0)
    await slow.beat()
    assert await asking is True


async def test_a_fenced_worker_can_write_nothing_more_of_its_batch(store, member):
    fenced, other = await member(), await member()
    await own_a_batch(store, fenced.worker_id)
    ledger = Ledger(store, clock=fenced._clock).of("b1", fenced.worker_id)
    cancel = partial(batches.record_refusal, batch_id="b1", reason="mine")
    await ledger.write(cancel)
    await expire(store, fenced.worker_id)
    await other.beat()
    await store.write(partial(batches.claim_batch, batch_id="b1", worker_id=other.worker_id))
    with pytest.raises(Disowned, match="b1 is driven by another worker"):
        await ledger.write(partial(batches.record_refusal, batch_id="b1", reason="stale"))
    with pytest.raises(Disowned):
        await ledger.check()
    assert (await store.read(partial(batches.get_batch, batch_id="b1"))).refusal == "mine"


async def test_whoever_leaves_in_good_order_leaves_its_batches_to_others_at_once(store, member):
    leaving = await member()
    await own_a_batch(store, leaving.worker_id)
    await leaving.leave()
    batch = await store.read(partial(batches.get_batch, batch_id="b1"))
    assert (batch.owner, batch.status) == (None, BatchStatus.OPEN)
    assert await statuses(store) == {leaving.worker_id: WorkerStatus.GONE}


async def test_who_holds_the_lock_of_a_file_owns_what_dead_processes_owned(tmp_path):
    url = f"sqlite:///{tmp_path}/state.db"
    store = open_store(url, driving="one")
    dead = Membership(store=store, clock=HandClock())
    await dead.join()
    await own_a_batch(store, dead.worker_id)
    store.close()
    store = open_store(url, driving="two")
    try:
        living = Membership(store=store, clock=HandClock())
        await living.join()
        assert living.held
        assert (await store.read(partial(batches.get_batch, batch_id="b1"))).owner is None
        assert await statuses(store) == {dead.worker_id: WorkerStatus.FENCED, living.worker_id: WorkerStatus.LATE}
    finally:
        store.close()


async def test_nothing_is_given_to_a_fenced_worker_under_its_old_name(store, member):
    """Nobody would ever free it again, and no reaper would end what is condemned of it."""
    fenced, other = await member(), await member()
    await own_a_batch(store, fenced.worker_id)
    await store.write(partial(pools.create_pool, name="support", document={}, source="api", at=NOW))
    await expire(store, fenced.worker_id)
    await other.beat()
    old = fenced.worker_id
    assert not await store.write(partial(batches.claim_batch, batch_id="b1", worker_id=old))
    assert not await store.write(partial(batches.claim_batches, worker_id=old, most=5))
    assert not await store.write(partial(pools.claim_pool, name="support", worker_id=old))
    assert (await store.read(partial(batches.get_batch, batch_id="b1"))).owner is None
    await fenced.beat()
    assert await store.write(partial(batches.claim_batch, batch_id="b1", worker_id=fenced.worker_id))


async def test_who_left_takes_nothing_more(store, member):
    gone = await member()
    await store.write(partial(batches.record_batch, batch=a_batch(), planned=[]))
    await gone.leave()
    assert not await store.write(partial(batches.claim_batch, batch_id="b1", worker_id=gone.worker_id))


async def test_only_those_that_serve_and_do_not_stop_go_on_with_what_others_leave(store, member):
    first, second, command = await member(), await member(), await member()
    await first.take_part(serves=True)
    await second.take_part(serves=True)
    await command.beat()
    assert (command.workers, command.companions) == (3, 2)
    await first.beat()
    assert first.companions == 1
    await second.take_part(serves=False)
    await first.take_part(serves=False)
    assert first.companions == 0
    await second.take_part(serves=False)
    assert second.companions == 0


async def test_a_worker_that_begins_anew_serves_as_before(store, member):
    fenced, other = await member(), await member()
    await fenced.take_part(serves=True)
    await expire(store, fenced.worker_id)
    await other.beat()
    assert other.companions == 0
    await fenced.beat()
    await other.beat()
    assert other.companions == 1
