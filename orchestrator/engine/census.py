"""What is counted beside the rows of a batch, so that nobody looks through ten thousand of them to know one number."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from heapq import heappop, heappush
from typing import Final

from orchestrator.domain.run import Run, RunStatus
from orchestrator.domain.session import Session

EARLIEST: Final = datetime.min.replace(tzinfo=UTC)  # before any session's bound


class SessionCensus:
    """Which sessions count against the budget, and which are not torn down; the rules are the session's own."""

    def __init__(self, sessions: Iterable[Session]) -> None:
        self._standing: set[str] = set()
        self._holding: dict[str, datetime] = {}
        self._bounds: list[tuple[datetime, str]] = []
        for session in sessions:
            self.note(session)

    def note(self, session: Session) -> None:
        """Count a session as its row is now."""
        if session.torn_down:
            self._standing.discard(session.nonce)
        else:
            self._standing.add(session.nonce)
        if not session.holds_budget(EARLIEST):
            self._holding.pop(session.nonce, None)
        elif self._holding.get(session.nonce) != session.ends_at:
            self._holding[session.nonce] = session.ends_at
            heappush(self._bounds, (session.ends_at, session.nonce))

    @property
    def torn_down(self) -> bool:
        """True when every session and room is confirmed gone, or bounded and named."""
        return not self._standing

    def held(self, now: datetime) -> int:
        """How many sessions count against the budget: a session whose bound has passed no longer does."""
        while self._bounds and self._bounds[0][0] <= now:
            bound, nonce = heappop(self._bounds)
            if self._holding.get(nonce) == bound:
                del self._holding[nonce]
        return len(self._holding)


class RunCensus:
    """Which runs are in which status, in the order of the plan."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.counts: Counter[RunStatus] = Counter()
        self._places: dict[RunStatus, list[int]] = {status: [] for status in RunStatus}
        self._names: dict[int, str] = {}
        for run in sorted(runs, key=_place):
            self._names[run.index] = run.run_id
            self._places[run.status].append(run.index)
            self.counts[run.status] += 1

    def move(self, before: Run, after: Run) -> None:
        """Count a run where it is now."""
        if before.status is not after.status:
            leaving = self._places[before.status]
            del leaving[bisect_left(leaving, before.index)]
            insort(self._places[after.status], after.index)
            self.counts[before.status] -= 1
            self.counts[after.status] += 1

    def of_status(self, runs: Mapping[str, Run], *statuses: RunStatus) -> list[Run]:
        """The runs in these states, in the order of the plan; as long as the answer, not as the batch."""
        places = [place for status in statuses for place in self._places[status]]
        if len(statuses) > 1:
            places.sort()
        return [runs[self._names[place]] for place in places]

    def first(self, runs: Mapping[str, Run], status: RunStatus) -> Run | None:
        """The first run of the plan in this state."""
        places = self._places[status]
        return runs[self._names[places[0]]] if places else None


def _place(run: Run) -> int:
    return run.index
