"""Gives the runs of one batch the warm sessions of the pool that its plan names.

A session is looked at before it is given away, unless somebody just did: a bot that left must not cost a submission.
Where the pool has none that is ready, the run starts a session of its own.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.pool import UNREADABLE, Pool, PoolSpec, needed_until, starts_alike
from orchestrator.domain.run import Run
from orchestrator.domain.session import Session
from orchestrator.engine.attendance import Attendance
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.roster import Roster
from orchestrator.plans.pools import pool_from_document
from orchestrator.store import pools as pool_rows
from orchestrator.store import warm_sessions as warm_rows

FRESH: Final = 3.0  # seconds for which somebody's look holds
CHECKS: Final = 2  # how many of the pool's own intervals a look holds for where Daily cannot be asked now
ASK_AGAIN: Final = 1.0  # seconds after which an empty pool is asked again
GONE: Final = "the bot left its room before a run took it"


class Acquisition:
    """The pool as one batch sees it; of a plan that names none, it has nothing."""

    def __init__(self, *, roster: Roster, remotes: Remotes, clock: Clock, speed: float) -> None:
        self._roster = roster
        self._clock = clock
        self._speed = speed
        self._name = roster.plan.agent.pool
        self._attendance = Attendance(remotes=remotes, clock=clock, speed=speed)
        self._known: tuple[Pool, PoolSpec] | None = None
        self._empty_until = float("-inf")
        self._said = ""

    async def take(self, run: Run) -> bool:
        """Give a planned run a warm session; False where there is none, or the session budget is full."""
        pool = await self._pool() if self._worth_asking() else None
        if pool is None:
            return False
        began, looked_at = self._clock.now(), set[str]()
        seen_since = began - timedelta(seconds=FRESH / self._speed)
        while True:
            taking = partial(self._acquire, pool, seen_since, self._clock.now())
            session = await self._roster.take(run, taking)
            if session is not None:
                waited = self._clock.now() - (session.ready_at or self._clock.now())
                self._roster.observer.pool_left(pool.name, served=True, waited=waited)
                seconds = round(waited.total_seconds(), 1)
                logger.info("a run took a warm session", run=run.run_id, pool=pool.name, waited=seconds)
                return True
            oldest = await self._oldest(pool)
            if oldest is None or oldest.nonce in looked_at:
                self._say_empty(run)
                return False
            looked_at.add(oldest.nonce)
            if await self._look_at(pool, oldest) is None:
                seen_since = began - timedelta(seconds=CHECKS * self._spec(pool).check_every)

    async def stocked(self) -> bool:
        """Whether a warm session waits that a run could take: then none needs to be started ahead."""
        pool = await self._pool() if self._worth_asking() else None
        if pool is None:
            return False
        found = await self._oldest(pool) is not None
        if not found:
            self._empty_until = self._clock.monotonic() + ASK_AGAIN / self._speed
        return found

    def _worth_asking(self) -> bool:
        return self._name is not None and self._clock.monotonic() >= self._empty_until

    def _say_empty(self, run: Run) -> None:
        self._empty_until = self._clock.monotonic() + ASK_AGAIN / self._speed
        logger.info("the pool has no session ready: runs start their own", run=run.run_id, pool=self._name)

    async def _pool(self) -> Pool | None:
        """The pool as it is defined now, where it starts sessions as this plan would."""
        pool = await self._roster.read(partial(pool_rows.find_pool, name=self._name or ""))
        trouble = self._trouble(pool)
        if trouble and trouble != self._said:
            logger.warning(f"{trouble}: runs start their own sessions", pool=self._name)
        self._said = trouble
        if trouble or pool is None:
            self._empty_until = self._clock.monotonic() + ASK_AGAIN / self._speed
            return None
        return pool

    def _trouble(self, pool: Pool | None) -> str:
        if pool is None or pool.why_empty:
            return "there is no such pool now" if pool is None else pool.why_empty
        try:
            alike = starts_alike(self._spec(pool).agent, self._roster.plan.agent)
        except StateUnusable:
            return UNREADABLE
        return "" if alike else "the pool starts its sessions otherwise than the plan (agent, body or properties)"

    def _spec(self, pool: Pool) -> PoolSpec:
        if self._known is None or self._known[0].updated_at != pool.updated_at:
            self._known = (pool, pool_from_document(pool.document).faster(self._speed))
        return self._known[1]

    def _acquire(
        self, pool: Pool, seen_since: datetime, now: datetime, connection: Any, *, run: Run
    ) -> warm_rows.Taken | None:
        plan = self._roster.plan
        return warm_rows.acquire(
            connection,
            run,
            pool=pool.name,
            agent=plan.agent,
            defined_at=pool.updated_at,
            at=now,
            seen_since=seen_since,
            needed_until=needed_until(plan, now=now),
            most=plan.limits.concurrency,
            shared=self._roster.shared,
        )

    async def _oldest(self, pool: Pool) -> Session | None:
        now, plan = self._clock.now(), self._roster.plan
        return await self._roster.read(
            partial(
                warm_rows.oldest_unseen,
                pool=pool.name,
                agent=plan.agent,
                defined_at=pool.updated_at,
                at=now,
                needed_until=needed_until(plan, now=now),
            )
        )

    async def _look_at(self, pool: Pool, session: Session) -> bool | None:
        """Look whether its bot is still there, and write that down; None where nobody could tell."""
        look = await self._attendance.look(session)
        if look.there:
            await self._roster.write_unit(partial(warm_rows.record_checked, nonce=session.nonce, at=look.at))
        elif look.there is not None:
            condemn = partial(warm_rows.retire, nonce=session.nonce, at=self._clock.now(), reason=GONE)
            await self._roster.write_unit(condemn)
            logger.info("a warm session was gone before a run took it", session=session.nonce, pool=pool.name)
        return look.there
