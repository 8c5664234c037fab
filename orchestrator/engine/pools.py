"""Keeps the pools that no other worker keeps: one task for each, for as long as this worker lives.

A pool has one owner over all workers, by compare-and-swap on its row; what the owner starts, ends and writes asks again
whether it still is. A worker that was given up for dead and thaws finds that out at its next statement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.budget import NO_LIMITS, SharedLimits
from orchestrator.domain.errors import OrchestratorError
from orchestrator.engine.ledger import Ledger
from orchestrator.engine.observer import NOBODY, Observer
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.roster import Sure
from orchestrator.engine.warm_starts import WarmStarts
from orchestrator.engine.warming import Warming
from orchestrator.store import pools as pool_rows
from orchestrator.store.database import Store

CLAIM_EVERY: Final = 2.0  # seconds, spread so that workers do not all ask at once


async def always() -> bool:
    """Where a worker cannot lose what it owns."""
    return True


class PoolKeeper:
    """One per worker, whose name may change. `speed` divides the durations of pools, for a sandbox faster than life.

    `sure` is asked before each paid call: False where this worker no longer owns what it owned. `shared` is what all
    batches and pools may take together.
    """

    def __init__(
        self,
        *,
        store: Store,
        remotes: Remotes,
        clock: Clock,
        place: str,
        worker_id: Callable[[], str],
        speed: float,
        random: Random,
        sure: Sure = always,
        shared: SharedLimits = NO_LIMITS,
        observer: Observer = NOBODY,
    ) -> None:
        self._observer = observer
        self._store = store
        self._ledger = Ledger(store, clock=clock)
        self._remotes = remotes
        self._clock = clock
        self._place = place
        self._worker_id = worker_id
        self._speed = speed
        self._random = random
        self._sure = sure
        self._shared = shared
        self._kept: dict[asyncio.Task[None], Warming] = {}
        self._draining = False
        self._troubled = False

    async def run(self) -> None:
        """Claim pools and keep them, until cancelled; then their rows stay as they are, for whoever comes next."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._claim(tasks)
                await self._clock.sleep(CLAIM_EVERY * (0.5 + self._random.random()) / self._speed)

    async def drain(self, *, hand_over: bool = False) -> None:
        """Start nothing more and give the pools back, while `run` goes on: first let every waiting session go, or
        `hand_over` those that wait to the worker that comes next.

        Returns when no start is under way any more; the reaper ends what was let go.
        """
        self._draining = True
        kept = dict(self._kept)
        for warming in kept.values():
            warming.leave(hand_over=hand_over)
        if kept:
            await asyncio.wait(kept)

    async def _claim(self, tasks: asyncio.TaskGroup) -> None:
        if self._draining or not await self._sure():
            return
        try:
            worker_id = self._worker_id()
            kept = {warming.name for warming in self._kept.values()}
            free = await self._store.read(partial(pool_rows.ownerless, worker_id=worker_id))
            for name in (one for one in free if one not in kept):
                if await self._store.write(partial(pool_rows.claim_pool, name=name, worker_id=worker_id)):
                    self._keep(name, worker_id, tasks)
            self._troubled = False
        except OrchestratorError as error:
            if not self._troubled:  # once, not at each look while the state is away
                logger.error("pools cannot be looked for", error=str(error))
            self._troubled = True

    def _keep(self, name: str, worker_id: str, tasks: asyncio.TaskGroup) -> None:
        starts = WarmStarts(
            pool=name,
            ledger=self._ledger,
            remotes=self._remotes,
            clock=self._clock,
            place=self._place,
            worker_id=worker_id,
            speed=self._speed,
            sure=partial(self._sure_as, worker_id),
            shared=self._shared,
        )
        warming = Warming(
            name=name,
            worker_id=worker_id,
            store=self._store,
            remotes=self._remotes,
            clock=self._clock,
            speed=self._speed,
            starts=starts,
            observer=self._observer,
        )
        if self._draining:
            warming.leave(hand_over=True)  # claimed while everything else was given back
        task = tasks.create_task(self._supervised(name, warming), name=f"keep pool {name}")
        self._kept[task] = warming
        task.add_done_callback(lambda ended: self._kept.pop(ended, None))

    async def _sure_as(self, worker_id: str) -> bool:
        """Whether what was owned under this name is owned still; a worker that was fenced goes by another one."""
        return await self._sure() and self._worker_id() == worker_id

    async def _supervised(self, name: str, warming: Warming) -> None:
        """A defect in one pool must not end the others; its sessions are kept on by the next look."""
        while True:
            try:
                await warming.run()
            except Exception:  # noqa: BLE001  the supervisor: whatever ended it, the rows say what is left
                logger.exception("keeping a pool met a defect; it is taken up again from its rows", pool=name)
                await self._clock.sleep(CLAIM_EVERY)
            else:
                return
