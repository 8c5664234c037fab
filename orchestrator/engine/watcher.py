"""Follows submitted runs: one bulk request for many, jittered, tolerant of failures; and the deadlines of ours.

A missing id is unknown, not done. An unrecognised status word is waited out, bounded by the run's own deadline. Who
heard that there is news may bring the next poll forward, never replace it: only a poll is believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.errors import RemoteError
from orchestrator.domain.observation import CallObservation, CallStatus
from orchestrator.domain.run import WITH_CEKURA, CallSeen, Overdue, Run, RunStatus
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.roster import Bell, Roster
from orchestrator.engine.starter import Starter

JITTER: Final = 0.1
POLLS_APART: Final = 1.0  # seconds at least, however often somebody says that there is news
CALLED: Final = frozenset({CallStatus.IN_CALL, CallStatus.EVALUATING, CallStatus.COMPLETED})


class Watcher:
    """Polls the submitted runs of one batch; `starter` learns from it when call slots are free.

    `patience`: how long after its submission a run's call may begin, where Cekura lets them wait for each other.
    """

    def __init__(
        self,
        *,
        roster: Roster,
        remotes: Remotes,
        clock: Clock,
        random: Random,
        starter: Starter | None = None,
        patience: Callable[[Run], timedelta] | None = None,
    ) -> None:
        self._roster = roster
        self._remotes = remotes
        self._clock = clock
        self._starter = starter
        self._random = random
        self._patience = patience
        self._unrecognised: set[str] = set()
        self._failures = 0
        self._trouble = ""

    async def run(self) -> None:
        """Poll while any run may still be with Cekura; the interval runs from poll to poll."""
        bell, news = self._roster.bell(), self._roster.news_bell()
        next_poll, soonest = 0.0, 0.0
        while not self._roster.finished:
            if not self._roster.count(*WITH_CEKURA):
                await bell.wait(1.0)
                continue
            await self._wait(next_poll, soonest, news)
            now, interval = self._clock.monotonic(), self._interval()
            next_poll, soonest = now + interval, now + min(interval, POLLS_APART / self._roster.batch.speed)
            await self._poll()
            await self._give_up_overdue()

    async def _wait(self, next_poll: float, soonest: float, news: Bell) -> None:
        """Wait for the time of the next poll, or for news since the last one, but never less than until `soonest`."""
        left = soonest - self._clock.monotonic()
        if left > 0:
            await self._roster.rest(left)
        left = next_poll - self._clock.monotonic()
        if left > 0:
            await news.wait(left)

    def _interval(self) -> float:
        spread = 1 + self._random.uniform(0, JITTER)
        return self._roster.plan.timing.poll_interval * spread

    async def _poll(self) -> None:
        runs = {run.cekura_run_id: run for run in self._roster.of_status(*WITH_CEKURA) if run.cekura_run_id}
        try:
            calls = await self._remotes.cekura.get_runs(list(runs))
        except RemoteError as error:
            self._failures += 1
            self._trouble = f"; the last poll failed: {error}"
            self._roster.observer.polled(len(runs), None)
            logger.warning("a poll failed", failures=self._failures, error=str(error))
            return
        self._failures, self._trouble = 0, ""
        now = self._clock.now()
        known = [(runs[call.cekura_run_id], call) for call in calls if call.cekura_run_id in runs]
        self._learn([call for _, call in known])
        for run, call in known:
            self._note(run, call)
        seen = ((run.run_id, CallSeen(at=now, call=call)) for run, call in known)
        news = [(run_id, fact) for run_id, fact in seen if self._roster.changes(run_id, fact)]
        self._roster.observer.polled(len(runs), len(news))
        await asyncio.gather(*(self._roster.apply(run_id, fact) for run_id, fact in news))

    def _learn(self, calls: Sequence[CallObservation]) -> None:
        if self._starter is None:
            return
        before = self._starter.calls
        after = self._starter.calls = before.polled(calls, at=self._clock.now())
        if after.working != before.working:
            logger.info("Cekura queues our runs; fewer calls at once", working=after.working)
        if after.rule is not before.rule:
            logger.info("when Cekura frees a call slot was learnt", rule=after.rule.value)

    def _note(self, run: Run, call: CallObservation) -> None:
        if call.status is CallStatus.UNRECOGNISED and call.raw_status not in self._unrecognised:
            self._unrecognised.add(call.raw_status)
            logger.warning("an unknown run status is waited out", status=call.raw_status)
        elif self._starter is not None and run.status is RunStatus.SUBMITTED and call.status in CALLED:
            self._starter.calls = self._starter.calls.called(run.run_id)

    async def _give_up_overdue(self) -> None:
        now = self._clock.now()
        for run in self._roster.of_status(*WITH_CEKURA):
            what, since, limit = self._deadline(run)
            if now - (since or now) > limit:
                reason = f"{what[0]} {limit.total_seconds():.0f} s after {what[1]}{self._trouble}"
                await self._roster.apply(run.run_id, Overdue(at=now, reason=reason))

    def _deadline(self, run: Run) -> tuple[tuple[str, str], datetime | None, timedelta]:
        """What is waited for and after what, since when, and how long."""
        timeouts = self._roster.plan.timeouts
        if run.status is RunStatus.CALL_ENDED:
            return ("no verdict came", "it ended"), run.since(RunStatus.CALL_ENDED), timedelta(seconds=timeouts.judge)
        limit = timedelta(seconds=timeouts.run)
        if self._patience is None:
            return ("the call had not ended", "submission"), run.since(RunStatus.SUBMITTED), limit
        if run.status is RunStatus.IN_CALL:
            return ("the call had not ended", "it began"), run.since(RunStatus.IN_CALL), limit
        return ("the call had not begun", "submission"), run.since(RunStatus.SUBMITTED), self._patience(run)
