"""One task drives a batch at a time, and a defect on the way does not leave it lying."""

import asyncio
from functools import partial

import pytest

from orchestrator.clock import SystemClock
from orchestrator.domain.batch import Origin
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.engine.membership import Membership
from orchestrator.store import batches
from orchestrator.store.database import open_store
from tests.store.rows import a_batch
from tests.support.bench import until


@pytest.fixture
def dispatching(tmp_path):
    """A dispatcher of a fresh state, for a way to drive."""
    store, clock = open_store(f"sqlite:///{tmp_path}/state.db", driving="test"), SystemClock()
    yield partial(Dispatcher, store=store, clock=clock, membership=Membership(store=store, clock=clock))
    store.close()


async def test_a_batch_that_is_asked_for_twice_is_driven_once_and_both_hear_of_its_end(dispatching):
    driven, begun, go_on = [], asyncio.Event(), asyncio.Event()

    async def drive(batch_id):
        driven.append(batch_id)
        begun.set()
        await go_on.wait()

    dispatcher = dispatching(drive=drive)
    first = asyncio.create_task(dispatcher.run("one"))
    await begun.wait()
    second = asyncio.create_task(dispatcher.run("one"))
    done, _ = await asyncio.wait({second}, timeout=0.05)
    assert not done
    go_on.set()
    await asyncio.gather(first, second)
    assert driven == ["one"]


async def test_a_batch_whose_driving_met_a_defect_is_taken_up_again(dispatching):
    calls = []

    async def drive(batch_id):
        calls.append(batch_id)
        if len(calls) == 1:
            raise ExceptionGroup("", [RuntimeError("once")])

    await dispatching(drive=drive).run("one")
    assert calls == ["one", "one"]


async def test_closing_stops_the_driving_whoever_waits_for_it(dispatching):
    begun, ended = asyncio.Event(), []

    async def drive(batch_id):
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(batch_id)

    dispatcher = dispatching(drive=drive)
    waiting = asyncio.create_task(dispatcher.run("one"))
    await begun.wait()
    await dispatcher.close()
    assert ended == ["one"]
    assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError)


async def test_a_batch_that_was_taken_by_a_commit_whose_answer_was_lost_is_driven_all_the_same(
    postgres_url,
):
    store, clock = open_store(postgres_url, driving="test"), SystemClock()
    membership, driven = Membership(store=store, clock=clock), asyncio.Event()

    async def drive(_batch_id):
        driven.set()

    try:
        await membership.join()
        await store.write(partial(batches.record_batch, batch=a_batch(origin=Origin.API), planned=[]))
        await store.write(partial(batches.claim_batches, worker_id=membership.worker_id, most=1))
        dispatcher = Dispatcher(store=store, clock=clock, membership=membership, drive=drive)
        serving = asyncio.create_task(dispatcher.serve())
        async with asyncio.timeout(5):
            await driven.wait()
        serving.cancel()
    finally:
        store.close()


async def test_a_batch_whose_driving_meets_a_defect_again_and_again_is_left_alone(postgres_url):
    store, clock = open_store(postgres_url, driving="test"), SystemClock()
    membership, calls = Membership(store=store, clock=clock), []

    async def drive(batch_id):
        calls.append(batch_id)
        raise RuntimeError("always")

    try:
        await membership.join()
        await store.write(partial(batches.record_batch, batch=a_batch(origin=Origin.API), planned=[]))
        dispatcher = Dispatcher(store=store, clock=clock, membership=membership, drive=drive)
        serving = asyncio.create_task(dispatcher.serve())
        await until(lambda: len(calls) == 2 and not dispatcher.driven)
        for _ in range(3):
            dispatcher.wake()
            await asyncio.sleep(0.1)
        assert calls == ["b1", "b1"]
        serving.cancel()
    finally:
        store.close()
