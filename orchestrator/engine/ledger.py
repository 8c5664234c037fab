"""The store as the driving of a batch sees it: what cannot be written now waits until it can.

A full disk is no reason to forget an answer that was paid for. So a write that the state refuses is tried again until
it is taken, and whoever handed it in waits: nothing is begun meanwhile, because an intent is written first. Teardown
must not wait with it; `unwritable` tells the outage watch that it is on its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.errors import StateUnusable
from orchestrator.store import batches as batch_rows
from orchestrator.store.database import Store

T = TypeVar("T")
TRY_AGAIN: Final = 1.0


class Ledger:
    """One per process. A unit of work may be run more than once, and only its last run stays."""

    def __init__(self, store: Store, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting = 0
        self._words: set[asyncio.Task[Any]] = set()
        self.unwritable_since: float | None = None  # monotonic seconds

    @property
    def unwritable(self) -> bool:
        """True while somebody waits for the state to be writable."""
        return self.unwritable_since is not None

    async def write(self, unit: Callable[[Any], T]) -> T:
        """Commit a unit, however long the state cannot be written; what the unit itself raises is raised here."""
        return await self._insist(partial(self._store.write, unit))

    def leave_word(self, unit: Callable[[Any], Any]) -> None:
        """Hand a unit in for whoever has no time to wait for its commit; one try, and nobody hears how it ended."""
        task = asyncio.create_task(self._store.write(unit), name="leave word")
        self._words.add(task)
        task.add_done_callback(self._word_left)

    def _word_left(self, task: asyncio.Task[Any]) -> None:
        self._words.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.warning("the state did not take what an answer said", error=str(task.exception()))

    def of(self, batch_id: str, owner: str) -> BatchLedger:
        """The ledger of one batch for the worker that drives it."""
        return BatchLedger(self, batch_id=batch_id, owner=owner, shared=self._store.shared)

    async def read(self, query: Callable[[Any], T]) -> T:
        """Run a query, however long the state cannot be read."""
        return await self._insist(partial(self._store.read, query))

    async def _insist(self, work: Callable[[], Awaitable[T]]) -> T:
        failed = taken = False
        try:
            while True:
                try:
                    value = await work()
                except StateUnusable as error:
                    if not failed:
                        failed = True
                        self._begin_waiting(error)
                    await self._clock.sleep(TRY_AGAIN)
                else:
                    taken = True
                    return value
        finally:
            if failed:
                self._end_waiting(taken=taken)

    def _begin_waiting(self, error: StateUnusable) -> None:
        self._waiting += 1
        if self.unwritable_since is None:
            self.unwritable_since = self._clock.monotonic()
            logger.error(
                "the state cannot be written: nothing new is started or submitted, teardown goes on without it",
                error=str(error),
            )

    def _end_waiting(self, *, taken: bool) -> None:
        self._waiting -= 1
        if self._waiting == 0 and self.unwritable_since is not None:
            seconds = self._clock.monotonic() - self.unwritable_since
            self.unwritable_since = None
            if not taken:
                return  # whoever waited was told to go
            logger.warning("the state can be written again: the batch goes on", after_seconds=round(seconds))


class BatchLedger:
    """What the driver of one batch writes: nothing any more once another worker took the batch (Disowned)."""

    def __init__(self, ledger: Ledger, *, batch_id: str, owner: str, shared: bool) -> None:
        self._ledger = ledger
        self._batch_id = batch_id
        self._owner = owner
        self._shared = shared

    async def write(self, unit: Callable[[Any], T]) -> T:
        """Commit a unit while the batch is ours, however long the state cannot be written."""
        return await self._ledger.write(partial(self._held, unit) if self._shared else unit)

    async def write_late(self, unit: Callable[[Any], T]) -> T:
        """Commit a unit whoever drives the batch now: what an answer said of a session is true all the same."""
        return await self._ledger.write(unit)

    def leave_word(self, unit: Callable[[Any], Any]) -> None:
        """As `write_late`, by whoever is told to let go at once; where there is no other worker, the next one looks."""
        if self._shared:
            self._ledger.leave_word(unit)

    async def read(self, query: Callable[[Any], T]) -> T:
        """Run a query, however long the state cannot be read."""
        return await self._ledger.read(query)

    async def check(self) -> None:
        """Disowned where another worker took the batch."""
        if self._shared:
            await self._ledger.write(partial(batch_rows.hold, batch_id=self._batch_id, worker_id=self._owner))

    def _held(self, unit: Callable[[Any], T], connection: Any) -> T:
        batch_rows.hold(connection, self._batch_id, self._owner)
        return unit(connection)
