"""One process that drives: who it is, and until when others take it for alive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class WorkerStatus(StrEnum):
    """How a worker stands."""

    ALIVE = "alive"
    LATE = "late"  # its lease ran out, and nobody has fenced it yet
    FENCED = "fenced"  # another worker took what it owned
    GONE = "gone"  # it left in good order


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A worker as its row tells of it; `lease_until` is by the database's clock."""

    worker_id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    lease_until: datetime
    gone_at: datetime | None = None
    fenced_at: datetime | None = None
    fenced_by: str | None = None

    def status(self, now: datetime) -> WorkerStatus:
        """How it stands at `now`, by the database's clock."""
        if self.gone_at is not None:
            return WorkerStatus.GONE
        if self.fenced_at is not None:
            return WorkerStatus.FENCED
        return WorkerStatus.ALIVE if now <= self.lease_until else WorkerStatus.LATE
