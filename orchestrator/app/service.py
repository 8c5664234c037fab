"""The long-running worker: it takes batches, fires schedules, keeps pools filled, and stops without leaving riddles.

It stops in one of two ways. Where other workers share its state, it begins nothing more, waits for the answers to what
it paid for, and lets go: another worker goes on within a second or two, and no call is cut short. Where it is alone, it
starts no more sessions and gives the calls under way some time; what is left then stays in the rows, each with its
bound, for the worker that starts next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from orchestrator.app.gauges import keep_gauges
from orchestrator.app.graph import Worker
from orchestrator.app.notices import build_notifier
from orchestrator.app.pools import sync_pools
from orchestrator.app.schedules import sync_schedules
from orchestrator.app.selection import resolve
from orchestrator.domain.budget import SharedLimits
from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.schedule import FireDecision
from orchestrator.domain.session import Session
from orchestrator.engine.pools import PoolKeeper
from orchestrator.engine.scheduler import Scheduler
from orchestrator.plans import ServiceFile
from orchestrator.settings import Settings
from orchestrator.store import sessions as session_rows

if TYPE_CHECKING:
    from orchestrator.telemetry.metrics import Metrics

ANSWER_SECONDS: Final = 15.0  # for the answers to starts and submissions under way
TEARDOWN_SECONDS: Final = 10.0  # for what is condemned when the calls are over
LOOK_EVERY: Final = 0.2
Part = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a worker left when it stopped: batches still open, and sessions that may be alive (of batches or pools)."""

    batches: int
    sessions: int
    handed_over: bool


class Service:
    """One worker that serves: batches, and beside them its schedules, its pools and its gauges (`parts`)."""

    def __init__(self, worker: Worker, *, keeper: PoolKeeper | None = None, parts: Sequence[Part] = ()) -> None:
        self._worker = worker
        self._keeper = keeper
        self._parts = parts

    async def serve(self) -> None:
        """Serve until cancelled, or until a part of it ends with a defect."""
        await self._worker.membership.take_part(serves=True)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._worker.dispatcher.serve(), name="dispatcher")
            if self._keeper is not None:
                parts.create_task(self._keeper.run(), name="pools")
            for part in self._parts:
                parts.create_task(_running(part), name="part of the service")

    async def drain(self, *, seconds: float) -> Left:
        """Begin nothing more, and leave as soon as that cuts no call short; alone, after so many seconds at most."""
        worker = self._worker
        worker.dispatcher.draining = True
        worker.driver.hold_starts()
        await worker.membership.take_part(serves=False)
        until = worker.clock.monotonic() + seconds
        if self._keeper is not None:
            patience = ANSWER_SECONDS if self.accompanied else max(ANSWER_SECONDS, seconds)
            with suppress(TimeoutError):  # what is not given back by then is free when this worker has left
                await asyncio.wait_for(self._keeper.drain(hand_over=self.accompanied), patience)
        while worker.driver.busy and not self.accompanied and worker.clock.monotonic() < until:
            await worker.clock.sleep(LOOK_EVERY)
        await worker.driver.stand_still(seconds=ANSWER_SECONDS)
        await self._teardown(seconds=max(TEARDOWN_SECONDS, until - worker.clock.monotonic()))
        driven = worker.driver.rosters
        alive = [
            one
            for one in await self._unsettled()
            if not one.torn_down and (one.batch_id in driven or not worker.store.shared)
        ]
        await worker.membership.take_part(serves=False)  # the last look: others may have stopped at the same time
        return Left(batches=len(worker.driver.rosters), sessions=len(alive), handed_over=self.accompanied)

    async def _teardown(self, *, seconds: float) -> None:
        """Alone, see to the end of what is condemned already; a worker that goes on would do so by itself."""
        until = self._worker.clock.monotonic() + seconds
        while not self.accompanied and self._worker.clock.monotonic() < until:
            if not any(one.condemned_at is not None and not one.torn_down for one in await self._unsettled()):
                return
            await self._worker.clock.sleep(LOOK_EVERY)

    async def _unsettled(self) -> Sequence[Session]:
        """What is not ended yet: by the state, or by memory where that cannot be read now."""
        try:
            return await self._worker.store.read(partial(session_rows.list_sessions, unsettled=True))
        except StateUnusable:
            return [one for roster in self._worker.driver.rosters.values() for one in roster.sessions.values()]

    @property
    def accompanied(self) -> bool:
        """Whether another worker goes on with what this one leaves: not a command's, nor one that stops too."""
        return self._worker.store.shared and self._worker.membership.companions > 0


async def build_service(
    worker: Worker,
    *,
    settings: Settings,
    file: ServiceFile | None,
    environ: Mapping[str, str],
    metrics: Metrics | None = None,
) -> Service:
    """A service on an open worker. `file` says which schedules and pools there are; without one they stay as they are.

    Conflict where a name of the file is taken by one that was made by HTTP; InvalidPlan where a pool is too large.
    """
    if file is not None:
        await sync_schedules(worker.store, file.schedules, clock=worker.clock)
        limit = settings.sessions_limit
        await sync_pools(worker.store, file.pools, clock=worker.clock, sessions_limit=limit)
    shared = SharedLimits(sessions=settings.sessions_limit, calls=settings.calls_limit)
    keeper = PoolKeeper(
        store=worker.store,
        remotes=worker.remotes,
        clock=worker.clock,
        place=worker.place,
        worker_id=lambda: worker.membership.worker_id,
        speed=worker.speed,
        random=Random(),  # noqa: S311  it spreads looks over time
        sure=worker.membership.sure,
        shared=shared,
        observer=worker.observer,
    )
    scheduler = Scheduler(
        store=worker.store,
        clock=worker.clock,
        environ=environ,
        resolve=partial(resolve, cekura=worker.remotes.cekura),
        speed=worker.speed,
        told=metrics.fired if metrics is not None else _untold,
        fired=worker.dispatcher.wake,
    )
    notifier = build_notifier(
        worker.store,
        clock=worker.clock,
        environ=environ,
        result_url=worker.remotes.cekura.result_url,
        told=metrics.noticed if metrics is not None else _unnoticed,
    )
    gauges = [partial(keep_gauges, worker, metrics)] if metrics is not None else []
    return Service(worker, keeper=keeper, parts=[scheduler.run, notifier.run, *gauges])


def _untold(_schedule: str, _decision: FireDecision, _lag: timedelta | None) -> None:
    """Nobody keeps count."""


def _unnoticed(_kind: str, _result: str) -> None:
    """Nobody keeps count."""


async def _running(part: Part) -> None:
    await part()
