"""Keeps one pool filled: a second at a time it reads the rows, lets go what is stale, and starts what is missing.

Nothing is remembered that the rows do not say, so that a pool whose worker died is kept on by the next one: what waits
ready waits on, and a start that was never answered is condemned and looked for. Teardown is the reaper's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.errors import OrchestratorError, StateUnusable
from orchestrator.domain.plan import Evidence
from orchestrator.domain.pool import (
    CLOSED,
    DRAINED,
    NOT_COME,
    UNREADABLE,
    Pool,
    PoolSpec,
    fit_until,
    is_open,
    plan_refill,
    plan_retirement,
)
from orchestrator.domain.session import Session, SessionStatus
from orchestrator.engine.attendance import Attendance, Look
from orchestrator.engine.observer import Observer
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.warm_starts import WarmStarts
from orchestrator.plans.pools import pool_from_document
from orchestrator.store import pools as pool_rows
from orchestrator.store import warm_sessions as warm_rows
from orchestrator.store.database import Store

LOOK_EVERY: Final = 1.0
LEAVE_EVERY: Final = 0.1
WORTH_STARTING: Final = timedelta(seconds=60)  # a session is not started for less of the pool's hours
SOON: Final = 60.0  # seconds; a bot that leaves sooner than that says that something is wrong with it
INTERRUPTED: Final = "the process ended before its start was sent"
UNANSWERED: Final = "its start answer was lost: the process ended while it was made"
LEFT: Final = "the bot left its room before any run took it"
ENDED: Final = "its session ended before any run took it"


class Warming:
    """One pool, for as long as this worker keeps it."""

    def __init__(
        self,
        *,
        name: str,
        worker_id: str,
        store: Store,
        remotes: Remotes,
        clock: Clock,
        speed: float,
        starts: WarmStarts,
        observer: Observer,
    ) -> None:
        self._observer = observer
        self._name = name
        self._worker_id = worker_id
        self._store = store
        self._clock = clock
        self._speed = speed
        self._starts = starts
        self._attendance = Attendance(remotes=remotes, clock=clock, speed=speed)
        self._looking: asyncio.Task[None] | None = None
        self._known: tuple[Pool, PoolSpec] | None = None
        self._leaving = asyncio.Event()
        self._hands_over = False
        self._said = ""

    def leave(self, *, hand_over: bool) -> None:
        """Start nothing more, and give the pool back: its waiting sessions to the next worker, or let go before."""
        self._hands_over = hand_over
        self._leaving.set()

    async def run(self) -> None:
        """Keep the pool until it is another worker's, or was given back: removed and empty, or left."""
        async with asyncio.TaskGroup() as tasks:
            while await self._kept(tasks):
                await self._wait()
            if self._looking is not None:
                self._looking.cancel()

    async def _wait(self) -> None:
        if self._leaving.is_set():
            await self._clock.sleep(LEAVE_EVERY / self._speed)
            return
        try:
            async with asyncio.timeout(LOOK_EVERY / self._speed):
                await self._leaving.wait()
        except TimeoutError:
            pass

    async def _kept(self, tasks: asyncio.TaskGroup) -> bool:
        """One look at the pool; False where it is kept no longer."""
        try:
            kept = await self._look(tasks)
        except OrchestratorError as error:
            if str(error) != self._said:
                logger.error("a pool could not be looked after", pool=self._name, error=str(error))
            self._said = str(error)
            return True
        self._said = ""
        return kept

    async def _look(self, tasks: asyncio.TaskGroup) -> bool:
        busy = set(self._starts.under_way)  # before the rows are read: what is no longer among them was written by then
        pool = await self._store.read(partial(pool_rows.owned_pool, name=self._name, worker_id=self._worker_id))
        if pool is None:
            return False
        kept = await self._store.read(partial(warm_rows.list_kept, pool=self._name))
        waiting = [one for one in kept if one.waits_in_pool]
        await self._settle([one for one in waiting if one.nonce not in busy])
        waiting = [one for one in waiting if one.nonce in busy or one.status is SessionStatus.ALIVE]
        try:
            spec = self._spec(pool)
        except StateUnusable:
            return await self._unreadable(pool, waiting)
        now = self._clock.now()
        why_empty = self._why_empty(pool, spec, now)
        let_go = await self._retire(spec, pool, waiting, now=now, why_empty=why_empty)
        waiting = [one for one in waiting if one.nonce not in let_go]
        self._look_into(spec, waiting, tasks)
        if not why_empty and not self._leaving.is_set():
            await self._refill(spec, waiting, tasks, now=now)
        await self._say(pool)
        return not await self._given_back(pool, waiting)

    async def _unreadable(self, pool: Pool, waiting: Sequence[Session]) -> bool:
        """Let everything go, and say why; False where the pool is kept no longer."""
        for session in waiting:
            await self._let_go(session.nonce, UNREADABLE)
        self._starts.trouble = UNREADABLE
        await self._say(pool)
        return not await self._given_back(pool, ())

    def _spec(self, pool: Pool) -> PoolSpec:
        if self._known is not None and self._known[0].updated_at != pool.updated_at:
            self._starts.anew(pool.updated_at)
        if self._known is None or self._known[0].updated_at != pool.updated_at:
            self._known = (pool, pool_from_document(pool.document).faster(self._speed))
        return self._known[1]

    def _why_empty(self, pool: Pool, spec: PoolSpec, now: datetime) -> str:
        if self._leaving.is_set() and not self._hands_over:
            return DRAINED
        return pool.why_empty or ("" if is_open(spec, self._local(spec, now)) else CLOSED)

    def _local(self, spec: PoolSpec, now: datetime) -> datetime:
        return now.astimezone(ZoneInfo(spec.timezone))

    async def _settle(self, waiting: Sequence[Session]) -> None:
        """Say what became of starts that nobody makes any more."""
        for session in waiting:
            if session.status is SessionStatus.INTENT:
                unit = partial(warm_rows.record_never_sent, nonce=session.nonce, note=INTERRUPTED)
                await self._store.write(unit)
            elif session.status is SessionStatus.SENT:
                now = self._clock.now()
                await self._store.write(partial(warm_rows.record_lost, nonce=session.nonce, at=now, note=UNANSWERED))

    async def _retire(
        self, spec: PoolSpec, pool: Pool, waiting: Sequence[Session], *, now: datetime, why_empty: str
    ) -> set[str]:
        due = plan_retirement(spec, waiting, now=now, why_empty=why_empty, defined_at=pool.updated_at)
        for nonce, reason in due.items():
            await self._let_go(nonce, reason)
            if reason == NOT_COME:
                self._starts.failed(f"{NOT_COME} (it was given {spec.ready:.0f} s)")
        return set(due)

    async def _let_go(self, nonce: str, reason: str) -> None:
        condemned = await self._store.write(partial(warm_rows.retire, nonce=nonce, at=self._clock.now(), reason=reason))
        if condemned is not None:
            now = self._clock.now()
            self._observer.pool_left(self._name, served=False, waited=now - (condemned.ready_at or now))
            logger.info("a warm session was let go", pool=self._name, session=nonce, reason=reason)

    # --- looking ---------------------------------------------------------------------------------------------------

    def _look_into(self, spec: PoolSpec, waiting: Sequence[Session], tasks: asyncio.TaskGroup) -> None:
        """Look, beside everything else, into the rooms where a bot is awaited or was not seen for a while."""
        if self._looking is not None and not self._looking.done():
            return
        now = self._clock.now()
        due = [one for one in waiting if one.status is SessionStatus.ALIVE and _worth_a_look(one, spec, now)]
        if due:
            self._looking = tasks.create_task(self._look_at(spec, due), name=f"look into the rooms of {self._name}")

    async def _look_at(self, spec: PoolSpec, due: Sequence[Session]) -> None:
        try:
            looks = await self._attendance.look_at(due)
            for session in due:
                await self._seen(spec, session, looks[session.nonce])
        except OrchestratorError as error:
            logger.error("what a look showed could not be written", pool=self._name, error=str(error))

    async def _seen(self, spec: PoolSpec, session: Session, look: Look) -> None:
        if session.ready_at is None:
            await self._awaited(spec, session, look)
        elif look.there:
            await self._store.write(partial(warm_rows.record_checked, nonce=session.nonce, at=look.at))
        elif look.there is False:
            await self._missed(session, ENDED if look.over else LEFT)

    async def _awaited(self, spec: PoolSpec, session: Session, look: Look) -> None:
        if look.over:
            await self._let_go(session.nonce, ENDED)
            self._starts.failed(ENDED)
        elif look.there and look.evidence is not None:
            ready = partial(
                warm_rows.record_warm_ready,
                nonce=session.nonce,
                at=look.at,
                evidence=look.evidence,
                fit_until=fit_until(spec, session, ready_at=look.at),
                seen_by=look.seen_by,
            )
            if await self._store.write(ready) is not None:
                self._starts.came()

    async def _missed(self, session: Session, reason: str) -> None:
        """A bot that was there is there no longer; one that leaves soon says that the agent is in trouble."""
        await self._let_go(session.nonce, reason)
        stayed = (self._clock.now() - (session.ready_at or self._clock.now())).total_seconds()
        trouble = f"{reason}, {stayed * self._speed:.0f} s after it came: is max_age below its idle timeout?"
        if stayed < SOON / self._speed:
            self._starts.failed(trouble)
        else:
            self._starts.trouble = trouble

    # --- filling ---------------------------------------------------------------------------------------------------

    async def _refill(
        self, spec: PoolSpec, waiting: Sequence[Session], tasks: asyncio.TaskGroup, *, now: datetime
    ) -> None:
        ready = sum(one.ready_at is not None for one in waiting)
        last = await self._store.read(partial(warm_rows.last_intent, pool=self._name))
        count = plan_refill(
            spec,
            may_start=not self._starts.held_off and is_open(spec, self._local(spec, now + WORTH_STARTING)),
            ready=ready,
            coming=len(waiting) - ready,
            alive=await self._store.read(partial(warm_rows.count_alive, pool=self._name, now=now)),
            since_start=(now - last).total_seconds() if last is not None else None,
            alone=self._starts.alone,
        )
        for _ in range(count):
            if not await self._starts.begin(spec, tasks):
                return

    async def _say(self, pool: Pool) -> None:
        """Keep beside the pool why it is not filled."""
        trouble = self._starts.trouble
        if trouble is not None and trouble != pool.trouble:
            unit = partial(pool_rows.record_trouble, name=self._name, worker_id=self._worker_id, trouble=trouble)
            await self._store.write(unit)

    async def _given_back(self, pool: Pool, waiting: Sequence[Session]) -> bool:
        """Give the pool back where nothing of it waits for this worker any more."""
        over = self._leaving.is_set() or pool.removed_at is not None
        if not over or self._starts.under_way or (waiting and not self._hands_over):
            return False
        return await self._store.write(partial(pool_rows.release_pool, name=self._name, worker_id=self._worker_id))


def _worth_a_look(session: Session, spec: PoolSpec, now: datetime) -> bool:
    if session.ready_at is None:
        return True
    if session.evidence is Evidence.SETTLE:
        return False  # nothing can be asked
    return now - (session.checked_at or session.ready_at) >= timedelta(seconds=spec.check_every)
