"""Server-sent events of one batch: how it stands, each run that changed since the revision a listener knows, its end.

The `id` of an event is a revision. Runs that never changed share revision 0, so an event has an id only where it is the
last of its revision: whoever is cut off before it begins that revision again. A listener that comes again is told of
the batch anew, and of no run twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import pairwise
from typing import Any, Final

from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from orchestrator.app.following import BEFORE_ALL, Change, Feeds
from orchestrator.domain.batch import Batch, Totals

HEARTBEAT_SECONDS: Final = 15.0
SEND_SECONDS: Final = 30.0  # for a listener that no longer reads: its place is another's then
RETRY_MILLISECONDS: Final = 1000  # how long a listener that was cut off waits before it comes again
EVENTS_PER_PART: Final = 100
HEARTBEAT: Final = ":\n\n"
Describe = Callable[[Batch, Totals], dict[str, Any]]


class EventStream(StreamingResponse):
    """A stream that is given up where its listener does not take it; `first` of its events was made already."""

    media_type = "text/event-stream"

    def __init__(self, first: str, events: AsyncGenerator[str, None]) -> None:
        self._events = events
        self._parts = _behind(first, events)
        super().__init__(self._parts)

    async def stream_response(self, send: Send) -> None:
        """Send every part, each within its time, and leave the feed however that ends."""

        async def bounded(message: Message) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        try:
            await super().stream_response(bounded)
        except TimeoutError:
            return
        finally:
            await self._parts.aclose()
            await self._events.aclose()


async def _behind(first: str, events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    yield first
    async for one in events:
        yield one


async def events_of(feeds: Feeds, batch_id: str, *, after: int | None, describe: Describe) -> AsyncGenerator[str, None]:
    """What a listener is sent until the batch is over or the service ends; `after` is the revision it knows.

    The first part comes once the batch is known to exist: NotFound and BudgetExhausted are raised before it.
    """
    async with feeds.following(batch_id) as feed:
        yield f"retry: {RETRY_MILLISECONDS}\n\n"
        known, told = BEFORE_ALL if after is None else after, ""
        while not feeds.closing:
            news, over = feed.news, feed.over  # looked at first: what comes while this is sent ends the wait below
            batch = _json(describe(feed.batch, feed.totals))
            changes = feed.after(known)
            if batch != told:
                yield _event("batch", batch)
                told = batch
            for part in _parts(changes):
                yield part
            known = changes[-1].revision if changes else known
            if over:
                yield _event("end", batch)
                return
            if not await _within(HEARTBEAT_SECONDS, news):
                yield HEARTBEAT


async def _within(seconds: float, news: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await news.wait()
    except TimeoutError:
        return False
    return True


def _parts(changes: Sequence[Change]) -> list[str]:
    """Events of runs, many to a part."""
    last = [*(one.revision != other.revision for one, other in pairwise(changes)), True]
    events = [
        _event("run", change.document, change.revision if ends else None)
        for change, ends in zip(changes, last, strict=False)
    ]
    return ["".join(events[at : at + EVENTS_PER_PART]) for at in range(0, len(events), EVENTS_PER_PART)]


def _event(kind: str, document: str, number: int | None = None) -> str:
    identity = "" if number is None else f"id: {number}\n"
    return f"{identity}event: {kind}\ndata: {document}\n\n"


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
