"""Ends a batch before its time: when somebody cancels it, when a remote refuses it, when its ramp was stopped.

Ending begins nothing new, ends the calls under way and condemns every session, in that order: a call that ends by name
is not cut short, and a session that is condemned is stopped by the reaper at once. A batch that drains, or whose ramp
was stopped, lets its calls come to their own end first. Whoever looks at the batch's row also sees there that Cekura is
said to have news.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import Final, Protocol

from orchestrator.clock import Clock
from orchestrator.domain.batch import Batch
from orchestrator.domain.run import WITH_CEKURA, CancelAsked, Run
from orchestrator.engine.calls import CallEnds
from orchestrator.engine.roster import Roster
from orchestrator.store import batches as batch_rows

LOOK_EVERY: Final = 0.5
POST_SECONDS: Final = 3.0  # for an answer that is on its way
SETTLE_SECONDS: Final = 15.0  # for a lost one that is being looked up
HURRIED_SECONDS: Final = 1.5  # for both, when the process must end within seconds
UNNAMED: Final = (
    "{reason}; it had been submitted and Cekura's answer was still missing: a call may have been placed and "
    "charged, look for the scenario in Cekura's results of that minute"
)


class Submits(Protocol):
    """Whoever hands the runs of a batch to Cekura."""

    def unsettled(self) -> set[str]:
        """The runs whose POST has no known meaning yet: their calls may be under way, and have no name."""


class Ending:
    """Watches one batch for a reason to end it. `hurried` is true while the process has only seconds left."""

    def __init__(
        self,
        *,
        roster: Roster,
        clock: Clock,
        calls: CallEnds,
        submitter: Submits,
        refusals: Collection[str],
        condemned: Callable[[], None],
        hurried: Callable[[], bool],
    ) -> None:
        self._roster = roster
        self._clock = clock
        self._calls = calls
        self._submitter = submitter
        self._refusals = refusals
        self._condemned = condemned
        self._hurried = hurried
        self._poked_at = roster.batch.poked_at

    async def run(self) -> None:
        """Notice a committed wish to cancel or to stop, or a refusal of the first start, and end every run."""
        bell = self._roster.alarm_bell()  # every look reads the batch's row: not at each change of a run
        while not self._roster.finished:
            batch = await self._batch()
            self._hear(batch)
            if batch.cancel_asked_at is not None:
                await self._cancel(batch)
            elif self._refusals:
                reason = next(iter(self._refusals))
                refusal = partial(batch_rows.record_refusal, batch_id=batch.batch_id, reason=reason)
                await self._roster.write_unit(refusal)
                await self._end(reason)
            elif batch.stopped:
                self._close(batch)
                await self._drain(batch.stopped)
            else:
                await bell.wait(LOOK_EVERY)

    def _hear(self, batch: Batch) -> None:
        """Pass it on that somebody heard news since the last look; any other time will do, for clocks differ."""
        if batch.poked_at != self._poked_at:
            self._poked_at = batch.poked_at
            self._roster.poke()

    async def _batch(self) -> Batch:
        return await self._roster.read(partial(batch_rows.get_batch, batch_id=self._roster.batch.batch_id))

    async def _cancel(self, batch: Batch) -> None:
        """Begin nothing new and end every run; one whose POST is not settled yet gets a moment to be.

        Its call may be under way, and can be ended only once it has a name; without that it would be cut short.
        """
        self._close(batch)
        if batch.cancel_drains:
            await self._drain(batch.cancel_reason)
            return
        await self._end(batch.cancel_reason, but=self._submitter.unsettled())
        await self._settled()
        unnamed = self._submitter.unsettled()
        await self._end(batch.cancel_reason, but=unnamed)
        await self._end(UNNAMED.format(reason=batch.cancel_reason))

    def _close(self, batch: Batch) -> None:
        self._roster.batch = batch
        self._roster.closing = True

    async def _drain(self, reason: str) -> None:
        """End whatever was not submitted; look again soon, because calls end and the wish may grow stronger."""
        with_cekura = {run.run_id for run in self._roster.of_status(*WITH_CEKURA)}
        await self._end(reason, but=with_cekura | self._submitter.unsettled())
        await self._roster.rest(LOOK_EVERY)

    async def _settled(self) -> None:
        """Wait for the POSTs under way to be settled, as long as there is time."""
        begun = self._clock.monotonic()
        while self._submitter.unsettled():
            patience = HURRIED_SECONDS if self._hurried() else SETTLE_SECONDS / self._roster.batch.speed + POST_SECONDS
            if self._clock.monotonic() - begun > patience:
                return
            await self._clock.sleep(0.05)

    async def _end(self, reason: str, *, but: Collection[str] = ()) -> None:
        await end_runs(self._roster, reason=reason, clock=self._clock, calls=self._calls, but=but)
        self._condemned()


async def end_runs(roster: Roster, *, reason: str, clock: Clock, calls: CallEnds, but: Collection[str] = ()) -> None:
    """End every unfinished run but some: its call first, then the run, whose session is condemned with it."""
    unfinished: list[Run] = [run for run in roster.runs.values() if not run.status.final and run.run_id not in but]
    await calls.end_all(unfinished)
    fact = CancelAsked(at=clock.now(), reason=reason)
    await asyncio.gather(*(roster.apply(run.run_id, fact) for run in unfinished))
