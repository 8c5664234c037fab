"""A listener of server-sent events, as any client would be one."""

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Event:
    """One event; `number` is its id, None where it has none."""

    kind: str
    data: Any
    number: int | None


async def events_in(lines):
    """Events out of the lines of a stream; comments are passed over."""
    kind, number = "", None
    async for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            number = int(value)
        elif name == "event":
            kind = value
        elif name == "data":
            yield Event(kind, json.loads(value), number)
            number = None


@asynccontextmanager
async def listening(client, path, *, after=None):
    """The events of a batch from behind a revision on; the connection is cut where the block ends."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    async with client.stream("GET", path, headers=headers, timeout=30) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events_in(answer.aiter_lines())


def runs_of(events):
    return [event for event in events if event.kind == "run"]
