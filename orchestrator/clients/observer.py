"""Who hears of requests: how often a remote is asked, how it answers, and what became of calls that cost money.

Nobody does, unless whoever builds the clients says so; then a request costs no more than a look at a None.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from orchestrator.domain.errors import (
    RemoteAuthFailed,
    RemoteBusy,
    RemoteError,
    RemoteRejected,
    RemoteUnavailable,
)


class RequestObserver(Protocol):
    """Hears plain values, and never an address, an id or a body."""

    def request(self, remote: str, operation: str, status: int | None, seconds: float) -> None:
        """One request was answered with this HTTP status, or not at all (None), after `seconds`."""
        ...

    def start(self, outcome: str) -> None:
        """One start of a session was `answered`, `busy` (ask again later), `refused` for good, or its answer `lost`."""
        ...


@contextmanager
def watched_start(observer: RequestObserver | None) -> Iterator[None]:
    """Tell `observer` what became of the start inside the block, reading of its answer included."""
    if observer is None:
        yield
        return
    try:
        yield
    except RemoteError as error:
        observer.start(_outcome(error))
        raise
    observer.start("answered")


def _outcome(error: RemoteError) -> str:
    if isinstance(error, (RemoteBusy, RemoteUnavailable)):
        return "busy"
    return "refused" if isinstance(error, (RemoteRejected, RemoteAuthFailed)) else "lost"
