"""How a batch and each of its runs stand, kept fresh while anybody follows it: one feed polls for all its followers.

A feed keeps how every run stands, not what happened to it: whoever comes again, or is slow, is told of each run once,
as it is now, and nothing piles up for anybody. A feed begins with the first follower of a batch and ends with the last.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from loguru import logger

from orchestrator.app.documents import run_document
from orchestrator.domain.batch import Batch, BatchStatus, Totals, count_outcomes
from orchestrator.domain.errors import BudgetExhausted, StateUnusable
from orchestrator.domain.verdict import Outcome
from orchestrator.store import batches as batch_rows
from orchestrator.store import runs as run_rows
from orchestrator.store.database import Store

POLL_SECONDS: Final = 0.5
BEFORE_ALL: Final = -1  # runs that never changed have revision 0


@dataclass(frozen=True, slots=True)
class Change:
    """A run as it is now (`document` is JSON), and the revision of its batch that made it so."""

    revision: int
    run_id: str
    outcome: Outcome | None
    document: str


class Feed:
    """One batch. `news` is replaced, and the old one set, with each change; `over` once the batch is closed."""

    def __init__(self, store: Store, batch_id: str) -> None:
        self._store = store
        self._batch_id = batch_id
        self._runs: dict[str, Change] = {}  # the oldest change first
        self._revision = BEFORE_ALL
        self._batch: Batch | None = None
        self.news = asyncio.Event()
        self.followers = 0

    @property
    def batch(self) -> Batch:
        """The batch as it was read last."""
        if self._batch is None:
            raise RuntimeError("the feed was not read yet")
        return self._batch

    @property
    def totals(self) -> Totals:
        """Its runs by outcome."""
        return count_outcomes(change.outcome for change in self._runs.values())

    @property
    def over(self) -> bool:
        """True when nothing more will change."""
        return self._batch is not None and self._batch.status is BatchStatus.CLOSED

    def after(self, revision: int) -> list[Change]:
        """The runs that changed after a revision, the oldest change first."""
        return list(self._newer(revision))[::-1]

    def _newer(self, revision: int) -> Iterator[Change]:
        for change in reversed(self._runs.values()):
            if change.revision <= revision:
                return
            yield change

    async def refresh(self) -> None:
        """Read what changed; StateUnusable where the state cannot be read, NotFound where there is no such batch."""
        batch, changes = await self._store.read(partial(_read, batch_id=self._batch_id, after=self._revision))
        for change in changes:
            self._runs.pop(change.run_id, None)  # it goes behind all that changed earlier
            self._runs[change.run_id] = change
            self._revision = change.revision
        if changes or batch != self._batch:
            self._batch = batch
            self.tell()

    async def keep_fresh(self) -> None:
        """Poll until cancelled, or the batch is over; a state that cannot be read is tried again."""
        readable = True
        while not self.over:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.refresh()
            except StateUnusable as error:
                if readable:
                    logger.warning("followers wait for the state", batch=self._batch_id, error=str(error))
                readable = False
            else:
                readable = True

    def tell(self) -> None:
        """Wake everybody who waits for news."""
        told, self.news = self.news, asyncio.Event()
        told.set()


class Feeds:
    """The feeds that somebody follows, of all batches; at most so many followers."""

    def __init__(self, store: Store, *, most: int) -> None:
        self._store = store
        self._most = most
        self._followers = 0
        self._feeds: dict[str, tuple[Feed, asyncio.Task[None]]] = {}
        self.closing = False

    def close(self) -> None:
        """Tell all who follow that it ends here; from now on nobody begins."""
        self.closing = True
        for feed, _ in self._feeds.values():
            feed.tell()

    @asynccontextmanager
    async def following(self, batch_id: str) -> AsyncIterator[Feed]:
        """A feed while the block lasts. BudgetExhausted when too many follow already; NotFound for no batch."""
        if self.closing or self._followers >= self._most:
            error = BudgetExhausted("as many follow batches as the service allows")
            error.next_step = "Follow it later, or ask for the batch now and then."
            raise error
        self._followers += 1
        try:
            feed = await self._joined(batch_id)
            try:
                yield feed
            finally:
                self._left(batch_id, feed)
        finally:
            self._followers -= 1

    async def _joined(self, batch_id: str) -> Feed:
        if batch_id not in self._feeds:
            fresh = Feed(self._store, batch_id)
            await fresh.refresh()
            if batch_id not in self._feeds:  # nobody was faster meanwhile
                self._feeds[batch_id] = fresh, asyncio.create_task(fresh.keep_fresh(), name=f"feed of {batch_id}")
        feed, _ = self._feeds[batch_id]
        feed.followers += 1
        return feed

    def _left(self, batch_id: str, feed: Feed) -> None:
        feed.followers -= 1
        if not feed.followers:
            _, polling = self._feeds.pop(batch_id)
            polling.cancel()


def _read(connection: Any, *, batch_id: str, after: int) -> tuple[Batch, list[Change]]:
    """The batch first: once it is closed no run of it changes, so none is missed. Documents are made on this thread."""
    batch = batch_rows.get_batch(connection, batch_id)
    changed = run_rows.changed_runs(connection, batch_id, after=after)
    return batch, [Change(revision, run.run_id, run.outcome, _json(run_document(run))) for revision, run in changed]


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
