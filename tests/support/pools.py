"""Pools as tests define them, and a keeper beside a worker."""

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from random import Random

from orchestrator.domain.plan import AgentKind, AgentSpec
from orchestrator.domain.pool import PoolSpec
from orchestrator.engine.pools import PoolKeeper
from orchestrator.plans.pools import pool_document
from orchestrator.store import pools as pool_rows
from orchestrator.store import warm_sessions as warm_rows

PLACE = "pools of a test"


def an_agent(**changes):
    values = {
        "kind": AgentKind.PIPECAT_CLOUD,
        "name": "support-bot",
        "url": None,
        "body": {},
        "room_properties": {},
        "token_properties": {},
        "exclusive": False,
    }
    return AgentSpec(**{**values, **changes})


def a_pool(**changes):
    """A pool of two, always open; durations are seconds."""
    values = {
        "name": "support",
        "agent": an_agent(),
        "min_ready": 2,
        "max_alive": 4,
        "max_age": 240.0,
        "check_every": 30.0,
        "starts_per_minute": 60.0,
        "ready": 600.0,
        "run": 900.0,
        "timezone": "UTC",
        "hours": (),
    }
    return PoolSpec(**{**values, **changes})


async def define(store, spec, *, at):
    unit = partial(pool_rows.create_pool, name=spec.name, document=pool_document(spec), source=pool_rows.CONFIG, at=at)
    return await store.write(unit)


async def redefine(store, spec, *, at):
    unit = partial(pool_rows.replace_pool, name=spec.name, document=pool_document(spec), source=pool_rows.CONFIG, at=at)
    return await store.write(unit)


async def kept(store, name="support"):
    """The sessions a pool still has to do with."""
    return await store.read(partial(warm_rows.list_kept, pool=name))


async def waiting(store, name="support"):
    return [one for one in await kept(store, name) if one.waits_in_pool]


async def ready(store, name="support"):
    return [one for one in await waiting(store, name) if one.ready_at is not None]


def a_keeper(worker, *, speed, worker_id="w1", **more):
    return PoolKeeper(
        store=worker.store,
        remotes=worker.remotes,
        clock=worker.clock,
        place=PLACE,
        worker_id=lambda: worker_id,
        speed=speed,
        random=Random(1),
        **more,
    )


@asynccontextmanager
async def keeping(worker, *, speed, worker_id="w1", **more):
    """A keeper that runs until the block ends, and then dies: nothing of it is drained."""
    keeper = a_keeper(worker, speed=speed, worker_id=worker_id, **more)
    running = asyncio.create_task(keeper.run(), name="keep pools")
    try:
        yield keeper
    finally:
        running.cancel()
        await asyncio.wait([running])
        if not running.cancelled():
            running.result()


async def until_rows(condition, seconds=20):
    """Wait until what the rows say satisfies `condition`, an async function."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  what is awaited is rows
            await asyncio.sleep(0.02)
