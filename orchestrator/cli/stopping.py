"""How a driven batch is stopped by signals: let calls finish, end them, and leave in time with a word on what is left.

Whoever sends SIGTERM kills soon after; pipelines give 7.5 seconds. So ending a batch has a window of its own, and what
could not be torn down within it is named with its bounds instead of being forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from orchestrator.app.batches import BatchView, cancel_batch, live_view, view_batch
from orchestrator.app.graph import Worker
from orchestrator.app.reading import unsettled_of
from orchestrator.cli.progress import Teller
from orchestrator.cli.tables import counted
from orchestrator.domain.errors import Conflict, StateUnusable

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

    async def _left(self) -> BatchView | None:
        view = live_view(self._worker, self._batch_id)
        if view is None:
            return None  # it closed in this very moment
        try:
            submissions = (await view_batch(self._worker.store, self._batch_id)).submissions
        except StateUnusable:
            submissions = ()
        asked_at = view.batch.cancel_asked_at or self._worker.clock.now()
        batch = replace(view.batch, cancel_asked_at=asked_at, cancel_reason=BY_SIGNAL)
        alive = counted(len(unsettled_of(view.sessions)), "session")
        self._teller.note(f"{WINDOW:g} s are over: {alive} may be alive; `orchestrator gc` goes on where this ends")
        return replace(view, batch=batch, submissions=submissions)

    async def _drain(self) -> None:
        self._teller.note(DRAINING)
        try:
            await self._commit(drains=True)
        except StateUnusable as error:
            self._teller.note(f"{error}: calls cannot be let finish in order; once more ends them")

    async def _cancel(self) -> None:
        self._teller.note(ENDING)
        asyncio.get_running_loop().call_later(WINDOW, self._over.set)
        try:
            await self._commit(drains=False)
        except StateUnusable:
            await self._worker.driver.abandon(BY_SIGNAL)

    async def _commit(self, *, drains: bool) -> None:
        clock = self._worker.clock
        try:
            await cancel_batch(self._worker.store, self._batch_id, clock=clock, reason=BY_SIGNAL, drains=drains)
        except Conflict:
            return  # it closed in this very moment
        if not drains:
            self._worker.driver.hurry()
