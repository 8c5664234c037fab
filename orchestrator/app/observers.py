"""Who hears of what a worker does: metrics where somebody asks for them, traces where the settings do, else nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import orchestrator
from orchestrator.clock import Clock
from orchestrator.domain.budget import SharedLimits
from orchestrator.domain.run import Run
from orchestrator.domain.session import Session
from orchestrator.engine.observer import NOBODY, Observer
from orchestrator.engine.remotes import Remotes
from orchestrator.settings import Settings
from orchestrator.store.database import Store

if TYPE_CHECKING:
    from orchestrator.telemetry.metrics import Metrics


class Observers:
    """Tells each of several."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def heard(self, before: Run, after: Run) -> None:
        """One run moved."""
        for one in self._observers:
            one.heard(before, after)

    def session_moved(self, before: Session | None, after: Session) -> None:
        """One session moved."""
        for one in self._observers:
            one.session_moved(before, after)

    def resumed(self, runs: Iterable[Run], sessions: Iterable[Session]) -> None:
        """A batch is driven from these rows on."""
        for one in self._observers:
            one.resumed(runs, sessions)

    def let_go(self, batch_id: str) -> None:
        """A batch is driven here no longer."""
        for one in self._observers:
            one.let_go(batch_id)

    def polled(self, asked: int, news: int | None) -> None:
        """One poll."""
        for one in self._observers:
            one.polled(asked, news)

    def submission(self, outcome: str) -> None:
        """One POST of rooms was settled."""
        for one in self._observers:
            one.submission(outcome)

    def pool_left(self, pool: str, *, served: bool, waited: timedelta) -> None:
        """One warm session left its pool."""
        for one in self._observers:
            one.pool_left(pool, served=served, waited=waited)


@asynccontextmanager
async def open_observer(
    settings: Settings, *, clock: Clock, metrics: Metrics | None, store: Store, remotes: Remotes
) -> AsyncIterator[Observer]:
    """Whoever is to hear of what the engine does, until the block ends; what is still to be sent then is sent."""
    if metrics is not None:
        store.watch_commits(metrics.committed)
        metrics.limited(SharedLimits(sessions=settings.sessions_limit, calls=settings.calls_limit))
    if settings.traces == "off":
        yield metrics or NOBODY
        return
    from orchestrator.telemetry.traces import open_traces

    traces = open_traces(version=orchestrator.__version__, now=clock.now, result_url=remotes.cekura.result_url)
    try:
        yield traces if metrics is None else Observers(metrics, traces)
    finally:
        await traces.aclose()
