"""How far a batch has come and how long it may still take, learned from its own finished runs."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestrator.app.batches import BatchView
from orchestrator.domain.batch import Totals
from orchestrator.domain.ramp import level
from orchestrator.domain.run import Run, RunStatus
from orchestrator.domain.session import first_start


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One look at a batch. `eta` is None until a run has finished; `sessions` counts those not yet torn down.

    `calls_limit`: how many calls there may be at once now; with a ramp, its level.
    """

    totals: Totals
    statuses: Counter[RunStatus]
    elapsed: timedelta
    eta: timedelta | None
    calls: int
    calls_limit: int
    sessions: int

    @property
    def finished(self) -> int:
        """Runs that have their outcome."""
        return sum(count for status, count in self.statuses.items() if status.final)


def progress_of(view: BatchView, *, now: datetime) -> Progress:
    """Look at a batch that is being driven."""
    statuses = Counter(run.status for run in view.runs)
    return Progress(
        totals=view.totals,
        statuses=statuses,
        elapsed=now - view.batch.created_at,
        eta=_eta(view, now),
        calls=statuses[RunStatus.IN_CALL],
        calls_limit=_calls_limit(view, now),
        sessions=sum(not session.torn_down for session in view.sessions),
    )


def _calls_limit(view: BatchView, now: datetime) -> int:
    ramp, begun_at = view.plan.ramp, first_start(view.sessions)
    if ramp is None:
        return view.plan.limits.calls
    return level(ramp, (now - begun_at).total_seconds() * view.batch.speed if begun_at else 0.0)


def status_since(run: Run) -> datetime | None:
    """When the run reached the status it has."""
    return run.since(run.status)


def _eta(view: BatchView, now: datetime) -> timedelta | None:
    """Runs not begun go in rounds as wide as the limits; those under way have what a typical run has left."""
    lasted = [seconds for run in view.runs if (seconds := _lasted(run)) is not None]
    if not lasted:
        return None
    typical = sum(lasted) / len(lasted)
    waiting = sum(run.status is RunStatus.PLANNED for run in view.runs)
    begun = [run.since(RunStatus.STARTING) for run in view.runs if not run.status.final]
    ages = [(now - since).total_seconds() for since in begun if since is not None]
    width = max(1, min(view.plan.limits.concurrency, _calls_limit(view, now)))
    rest = max((typical - age for age in ages), default=0.0)
    return timedelta(seconds=math.ceil(waiting / width) * typical + max(rest, 0.0))


def _lasted(run: Run) -> float | None:
    """Seconds from the last start to the verdict."""
    begin, end = run.since(RunStatus.STARTING), run.since(RunStatus.JUDGED)
    return (end - begin).total_seconds() if begin and end else None
