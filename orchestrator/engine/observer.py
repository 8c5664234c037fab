"""Who hears what the engine does, as it is committed: metrics and traces, which the engine itself knows nothing of.

It hears plain values, answers at once, and never raises. Nobody hears unless whoever builds the engine says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final, Protocol

from orchestrator.domain.run import Run
from orchestrator.domain.session import Session


class Observer(Protocol):
    """Hears each committed step."""

    def heard(self, before: Run, after: Run) -> None:
        """One run moved."""
        ...

    def session_moved(self, before: Session | None, after: Session) -> None:
        """One session moved; `before` is None for a new one, and for one that was torn down beside any driven batch."""
        ...

    def resumed(self, runs: Iterable[Run], sessions: Iterable[Session]) -> None:
        """A batch is driven from these rows on."""
        ...

    def let_go(self, batch_id: str) -> None:
        """A batch is driven here no longer: it is closed, or another worker goes on with it."""
        ...

    def polled(self, asked: int, news: int | None) -> None:
        """One poll asked for so many runs, and brought news of so many; None: it failed."""
        ...

    def submission(self, outcome: str) -> None:
        """One POST of rooms was settled: a status of a submission, or `lost` where its answer is now looked up."""
        ...

    def pool_left(self, pool: str, *, served: bool, waited: timedelta) -> None:
        """A warm session left its pool after so long: a run took it (`served`), or it was let go."""
        ...


class _Nobody:
    """Hears nothing."""

    def heard(self, before: Run, after: Run) -> None:
        pass

    def session_moved(self, before: Session | None, after: Session) -> None:
        pass

    def resumed(self, runs: Iterable[Run], sessions: Iterable[Session]) -> None:
        pass

    def let_go(self, batch_id: str) -> None:
        pass

    def polled(self, asked: int, news: int | None) -> None:
        pass

    def submission(self, outcome: str) -> None:
        pass

    def pool_left(self, pool: str, *, served: bool, waited: timedelta) -> None:
        pass


NOBODY: Final[Observer] = _Nobody()
