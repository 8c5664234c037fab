"""Keeps watch while the state cannot be written: calls that are over, and bots that nobody can call, are let go.

The loops that drive a batch stand still at their writes then, by design. Money does not: so the calls under way are
followed by reading only, and whatever need not live any more is doomed, which the reaper acts on without the rows. When
the state is back, the rows learn what their remotes still show; a run whose bot was let go begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.errors import RemoteError
from orchestrator.domain.observation import CallStatus
from orchestrator.domain.run import WITH_CEKURA, Run, RunStatus, SessionLost
from orchestrator.engine.ledger import Ledger
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.roster import CALL_ENDED, EndCall, Roster

LOOK_EVERY: Final = 0.5
IDLE_SECONDS: Final = 15.0  # a bot may wait this long for the state before it is let go
UNCALLED: Final = frozenset({RunStatus.STARTING, RunStatus.STARTED, RunStatus.READY})
LET_GO: Final = "its bot was let go: the state could not be written, so no call could be placed"


class Outage:
    """Watches over one batch; does nothing while the state can be written. `held`: whether it is certainly ours yet."""

    def __init__(
        self,
        *,
        roster: Roster,
        remotes: Remotes,
        ledger: Ledger,
        clock: Clock,
        speed: float,
        end_call: EndCall,
        held: Callable[[], bool],
    ) -> None:
        self._held = held
        self._roster = roster
        self._remotes = remotes
        self._ledger = ledger
        self._clock = clock
        self._speed = speed
        self._end_call = end_call

    async def run(self) -> None:
        """Watch until every run has its outcome."""
        while not self._roster.finished:
            if self._ledger.unwritable:
                await self._last_out()
            await self._roster.rest(LOOK_EVERY / self._speed)

    async def _last_out(self) -> None:
        next_poll = 0.0
        # The write that waits may be another batch's: a roster that is finished rests no more, and would hold the loop.
        while self._ledger.unwritable and not self._roster.finished:
            if self._clock.monotonic() >= next_poll:
                next_poll = self._clock.monotonic() + self._roster.plan.timing.poll_interval
                await self._follow_calls()
            self._let_idle_go()
            await self._roster.rest(LOOK_EVERY / self._speed)
        await self._begin_anew()

    async def _follow_calls(self) -> None:
        """Doom the sessions whose calls are over, or overdue; reads, and ends what is overdue (may be repeated)."""
        with_cekura = self._roster.of_status(*WITH_CEKURA)
        runs = {run.cekura_run_id: run for run in with_cekura if run.cekura_run_id and not self._doomed(run)}
        await asyncio.gather(*(self._end_overdue(run) for run in runs.values()))
        if not runs:
            return
        try:
            calls = await self._remotes.cekura.get_runs(list(runs))
        except RemoteError as error:
            logger.warning("a poll failed", error=str(error))
            return
        for call in calls:
            run = runs.get(call.cekura_run_id)
            if run is not None and (call.status.finished or call.status is CallStatus.EVALUATING):
                self._roster.doom(run, CALL_ENDED)

    async def _end_overdue(self, run: Run) -> None:
        since = run.since(RunStatus.SUBMITTED)
        limit = timedelta(seconds=self._roster.plan.timeouts.run)
        if run.status is not RunStatus.CALL_ENDED and since is not None and self._clock.now() - since > limit:
            await self._end_call(run)
            self._roster.doom(run, "the call had not ended in time")

    def _let_idle_go(self) -> None:
        since = self._ledger.unwritable_since
        if not self._held():
            return  # another worker may be about to submit them, and the call would be paid for nothing
        if since is None or self._clock.monotonic() - since < IDLE_SECONDS / self._speed:
            return
        for run in self._roster.of_status(*UNCALLED):
            if run.nonce not in self._roster.posting:
                self._roster.doom(run, LET_GO)

    async def _begin_anew(self) -> None:
        """Tell the runs whose bots were let go; those that were called hear of their call's end from the next poll."""
        lost = [run for run in self._roster.of_status(RunStatus.STARTED, RunStatus.READY) if self._doomed(run)]
        fact = SessionLost(at=self._clock.now(), reason=LET_GO)
        await asyncio.gather(*(self._roster.apply(run.run_id, fact) for run in lost))

    def _doomed(self, run: Run) -> bool:
        return run.nonce in self._roster.doomed
