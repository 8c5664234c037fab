"""How a driven batch is stopped by signals: let calls finish, end them, and leave in time with a word on what is left.

Whoever sends SIGTERM kills soon after; pipelines give 7.5 seconds. So ending a batch has a window of its own, and what
could not be torn down within it is named with its bounds instead of being forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from orchestrator.app.batches import BatchView, cancel_batch, live_view, view_batch
from orchestrator.app.graph import Worker
from orchestrator.app.reading import unsettled_of
from orchestrator.cli.progress import Teller
from orchestrator.cli.tables import counted
from orchestrator.domain.errors import Conflict, OrchestratorError, StateUnusable
from orchestrator.domain.submission import Submission
from orchestrator.engine.ending import UNNAMED

STATE_SECONDS: Final = 1.0  # how long the state may take to hear of it
WINDOW: Final = 6.0  # real seconds from the signal that ends the calls to the report
BY_SIGNAL: Final = "interrupted by the person or process that ran it"
DRAINING: Final = "interrupted: nothing new is begun, calls under way may finish (once more ends them)"
ENDING: Final = "interrupted: ending calls, tearing down sessions and rooms (once more leaves at once)"


class Stopping:
    """What signals ask for while one batch is driven; with `drain` the first one lets its calls finish."""

    def __init__(self, worker: Worker, batch_id: str, teller: Teller, *, drain: bool) -> None:
        self._worker = worker
        self._batch_id = batch_id
        self._teller = teller
        self._over = asyncio.Event()
        self._draining: asyncio.Task[None] | None = None
        self.answers: tuple[Callable[[], Awaitable[None]], ...] = (
            (self._drain, self._cancel) if drain else (self._cancel,)
        )

    async def follow(self, driving: asyncio.Task[None]) -> BatchView | None:
        """Wait for the batch to end; or, where the window is over first, show how it stands now."""
        over = asyncio.create_task(self._over.wait(), name="the window to stop in")
        try:
            await asyncio.wait({driving, over}, return_when=asyncio.FIRST_COMPLETED)
            return await self._left() if not driving.done() else driving.result()
        finally:
            over.cancel()
            driving.cancel()
            if self._draining is not None:
                self._draining.cancel()

    async def _left(self) -> BatchView | None:
        rosters = self._worker.driver.rosters.values()
        alive = sum(len(unsettled_of([*(one.sessions | one.unrecorded).values()])) for one in rosters)
        may_live = f"{counted(alive, 'session')} may be alive"
        self._teller.note(f"{WINDOW:g} s are over: {may_live}; `orchestrator gc` goes on where this ends")
        view = live_view(self._worker, self._batch_id)
        if view is None:
            return None  # it is closed; what is left was left by an earlier batch
        asked_at = view.batch.cancel_asked_at or self._worker.clock.now()
        batch = replace(view.batch, cancel_asked_at=asked_at, cancel_reason=BY_SIGNAL)
        posting = self._worker.driver.rosters[self._batch_id].posting
        runs = tuple(
            replace(run, reason=UNNAMED.format(reason=BY_SIGNAL)) if run.nonce in posting and not run.reason else run
            for run in view.runs
        )
        return replace(view, batch=batch, runs=runs, submissions=await self._submissions())

    async def _submissions(self) -> tuple[Submission, ...]:
        try:
            async with asyncio.timeout(STATE_SECONDS):
                return (await view_batch(self._worker.store, self._batch_id)).submissions
        except (StateUnusable, TimeoutError):
            return ()

    async def _drain(self) -> None:
        self._teller.note(DRAINING)
        self._draining = asyncio.create_task(self._insist_on_draining(), name="drain")

    async def _insist_on_draining(self) -> None:
        """Until the wish is written nothing new begins anyway, because an intent has to be written first."""
        while True:
            try:
                await self._commit(drains=True)
            except StateUnusable:
                await asyncio.sleep(STATE_SECONDS)
            else:
                return

    async def _cancel(self) -> None:
        self._teller.note(ENDING)
        asyncio.get_running_loop().call_later(WINDOW, self._over.set)
        if self._draining is not None:
            self._draining.cancel()
        try:
            async with asyncio.timeout(STATE_SECONDS):
                await self._commit(drains=False)
        except (OrchestratorError, TimeoutError):  # whatever keeps it from the state, the calls must end
            await self._worker.driver.abandon(BY_SIGNAL)

    async def _commit(self, *, drains: bool) -> None:
        clock = self._worker.clock
        with suppress(Conflict):  # it is closed; what is torn down beside it must hurry all the same
            await cancel_batch(self._worker.store, self._batch_id, clock=clock, reason=BY_SIGNAL, drains=drains)
        if not drains:
            self._worker.driver.hurry()
