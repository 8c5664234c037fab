"""Follows the ramp of one batch: which level it is at, and whether it is to be stopped.

A level counts from the first start, by stored times, so that a batch taken up again is where it would have been. A stop
is committed before anything is ended: whoever goes on with the batch begins nothing more either. Starts refused for
capacity are counted by the process that was refused them; one that takes the batch up begins to count anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from statistics import median
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.batch import count
from orchestrator.domain.errors import RemoteBusy, RemoteError
from orchestrator.domain.ramp import Observed, Ramp, StopRule, last_rise, level, next_change, stop_reason
from orchestrator.domain.session import Session, first_start
from orchestrator.engine.roster import Roster
from orchestrator.store import batches as batch_rows

LOOK_EVERY: Final = 1.0  # seconds of the remotes' time
SHORTEST_LOOK: Final = 0.02
RECENT: Final = 20  # bots by which joins are judged: of fewer, the 95th percentile is the slowest


class Ramping:
    """The ramp of one batch; of a plan without one, there is no level and nothing to follow."""

    def __init__(self, *, roster: Roster, clock: Clock, speed: float) -> None:
        self._roster = roster
        self._clock = clock
        self._speed = speed
        self._ramp = roster.plan.ramp
        self._begun_at: datetime | None = None
        self._refused: list[float] = []  # when starts were refused for capacity, in seconds of the ramp
        self._lead = 0.0

    def level(self) -> int | None:
        """How many calls may be placed at once now; None without a ramp."""
        return None if self._ramp is None else level(self._ramp, self._seconds())

    def level_for_starts(self) -> int | None:
        """The same for bots to be started now: where the level will have fallen when they join, they would wait."""
        if self._ramp is None:
            return None
        now = self._seconds()
        return min(level(self._ramp, now), level(self._ramp, now + self._lead))

    def note_refused(self, error: RemoteError) -> None:
        """A start was refused for now: count it, unless the remote said that it was for the rate of requests."""
        if isinstance(error, RemoteBusy) and error.capacity is not False:
            self._refused.append(self._seconds())

    async def run(self) -> None:
        """Tell everybody when the level changes, and stop the ramp when its rule says so."""
        ramp = self._ramp
        while ramp is not None and not self._roster.finished:
            before = self._seconds()
            joins = self._joins(ramp.stop)
            self._lead = median(joins) if joins else 0.0
            if ramp.stop is not None and not self._roster.closing:
                await self._stop_where_due(ramp, ramp.stop, joins)
            await self._roster.rest(self._wait_seconds(ramp))
            change = next_change(ramp, before)
            if change is not None and self._seconds() >= change:
                logger.info("the ramp is at another level", batch=self._roster.batch.batch_id, calls=self.level())
                self._roster.ring()

    def _wait_seconds(self, ramp: Ramp) -> float:
        now = self._seconds()
        change = next_change(ramp, now)
        left = LOOK_EVERY if change is None else min(LOOK_EVERY, change - now)
        return max(SHORTEST_LOOK, left / self._speed)

    def _seconds(self) -> float:
        """How far the ramp is, in seconds of the remotes' time; 0 until the first start."""
        if self._begun_at is None:
            self._begun_at = first_start(self._roster.sessions.values())
        return 0.0 if self._begun_at is None else self._between(self._begun_at, self._clock.now())

    async def _stop_where_due(self, ramp: Ramp, rule: StopRule, joins: list[float]) -> None:
        totals = count(self._roster.runs.values())
        since = last_rise(ramp, self._seconds())
        observed = Observed(
            joins=joins,
            passed=totals.passed,
            conclusive=totals.conclusive,
            refused=sum(at >= since for at in self._refused),
        )
        cause = stop_reason(rule, observed)
        if cause is None:
            return
        calls = self.level()
        reason = f"the ramp was stopped at {calls} {'call' if calls == 1 else 'calls'}: {cause}"
        logger.warning(reason, batch=self._roster.batch.batch_id)
        self._roster.closing = True
        stopped = partial(
            batch_rows.record_stopped, batch_id=self._roster.batch.batch_id, at=self._clock.now(), reason=reason
        )
        await self._roster.write_unit(stopped)
        self._roster.alarm()

    def _joins(self, rule: StopRule | None) -> list[float]:
        """Seconds from start intent to bot ready of the sessions last begun that have their bot.

        One that is not there yet, or never came, counts too once it is later than the rule allows.
        """
        limit = rule.join_p95 if rule is not None else None
        known = ((one.intended_at, seconds) for one, seconds in self._joined(limit))
        most = max(RECENT, rule.after if rule is not None else 0)
        return [seconds for _, seconds in heapq.nlargest(most, known)]

    def _joined(self, limit: float | None) -> Iterator[tuple[Session, float]]:
        now = self._clock.now()
        for session in self._roster.sessions.values():
            if session.pool is not None or session.answered_at is None:
                continue  # a warm bot joined for nobody; a lost start is looked for, not waited for
            seconds = self._between(session.intended_at, session.ready_at or session.condemned_at or now)
            if session.ready_at is not None or (limit is not None and seconds > limit):
                yield session, seconds

    def _between(self, since: datetime, until: datetime) -> float:
        return max(0.0, (until - since).total_seconds()) * self._speed
