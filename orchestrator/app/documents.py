"""Rows as JSON documents, the same for `--json` and for the API. Fields are added, never changed; tokens never show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from typing import Any, Final

from orchestrator.domain.batch import Batch, Totals
from orchestrator.domain.run import Run
from orchestrator.domain.secret import Secret
from orchestrator.domain.session import Session
from orchestrator.domain.worker import WorkerRecord, WorkerStatus

PRIVATE: Final = frozenset({"meeting_token"})


def batch_document(batch: Batch, totals: Totals) -> dict[str, Any]:
    """One batch with its totals; the plan it executes is left out, for a report or a digest says which it was."""
    return {
        "id": batch.batch_id,
        "name": batch.name,
        "status": batch.status.value,
        "outcome": batch.outcome.value if batch.outcome else None,
        "created_at": batch.created_at.isoformat(),
        "closed_at": batch.closed_at.isoformat() if batch.closed_at else None,
        "cancelled": batch.cancel_asked_at is not None,
        "reason": batch.refusal or batch.cancel_reason,
        "stopped": batch.stopped or None,
        "origin": batch.origin.value,
        "schedule": batch.schedule,
        "owner": batch.owner,
        "digest": batch.digest,
        "speed": batch.speed,
        "totals": asdict(totals),
    }


def run_document(run: Run) -> dict[str, Any]:
    """One run with its timeline."""
    return {name: plain(value) for name, value in asdict(run).items()}


def session_document(session: Session) -> dict[str, Any]:
    """One session with how its ends stand, its meeting token excepted."""
    # Not `asdict`: it would copy the token on its way.
    fields = {name: getattr(session, name) for name in session.__dataclass_fields__ if name not in PRIVATE}
    ends = {name: asdict(fields[name]) for name in ("session_end", "room_end")}
    return {name: plain(value) for name, value in {**fields, **ends}.items()}


def worker_document(worker: WorkerRecord, status: WorkerStatus) -> dict[str, Any]:
    """One worker and how it stands."""
    return {"status": status.value, **{name: plain(value) for name, value in asdict(worker).items()}}


def plain(value: Any) -> Any:
    """A value as JSON takes it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    return str(value) if isinstance(value, Secret) else value
