"""Statements on batches."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, exists, insert, select, update

from orchestrator.domain.batch import Batch, BatchStatus, Origin
from orchestrator.domain.errors import NotFound
from orchestrator.domain.run import Run
from orchestrator.domain.verdict import Outcome
from orchestrator.store import runs
from orchestrator.store.tables import batches


def record_batch(connection: Connection, batch: Batch, planned: Sequence[Run]) -> None:
    """Insert a batch with all its runs: one unit."""
    connection.execute(
        insert(batches).values(
            batch_id=batch.batch_id,
            name=batch.name,
            status=batch.status.value,
            created_at=batch.created_at,
            document=dict(batch.document),
            digest=batch.digest,
            speed=batch.speed,
            cancel_reason="",
            refusal="",
            owner=batch.owner,
            origin=batch.origin.value,
            client_key=batch.client_key,
            schedule=batch.schedule,
        )
    )
    runs.record_planned(connection, planned)


def get_batch(connection: Connection, batch_id: str) -> Batch:
    """One batch; NotFound names it."""
    row = connection.execute(select(batches).where(batches.c.batch_id == batch_id)).one_or_none()
    if row is None:
        error = NotFound(f"no batch {batch_id} in this state")
        error.next_step = "`orchestrator batches list` shows the ones it knows."
        raise error
    return _batch(row)


def list_batches(connection: Connection, *, limit: int, status: BatchStatus | None = None) -> list[Batch]:
    """The newest batches first."""
    query = select(batches).order_by(batches.c.created_at.desc()).limit(limit)
    if status is not None:
        query = query.where(batches.c.status == status.value)
    return [_batch(row) for row in connection.execute(query)]


def record_cancel(connection: Connection, batch_id: str, *, at: datetime, reason: str, drains: bool = False) -> bool:
    """Commit the wish to cancel an open batch; False when it is closed. The first wish stays.

    `drains`: calls under way may finish. A later wish without it takes that leave back, never the other way.
    """
    open_batch = (batches.c.batch_id == batch_id) & (batches.c.status == BatchStatus.OPEN.value)
    connection.execute(
        update(batches)
        .where(open_batch, batches.c.cancel_asked_at.is_(None))
        .values(cancel_asked_at=at, cancel_reason=reason, cancel_drains=drains)
    )
    if not drains:
        connection.execute(update(batches).where(open_batch).values(cancel_drains=False))
    return connection.execute(select(batches.c.batch_id).where(open_batch)).first() is not None


def going_on(batch_id: ColumnElement[str]) -> ColumnElement[bool]:
    """The condition on a row that its batch is open and nobody asked to cancel it: it may cause something yet."""
    return exists().where(
        batches.c.batch_id == batch_id,
        batches.c.status == BatchStatus.OPEN.value,
        batches.c.cancel_asked_at.is_(None),
    )


def record_refusal(connection: Connection, batch_id: str, *, reason: str) -> None:
    """Note why the batch ended before it cost anything."""
    connection.execute(update(batches).where(batches.c.batch_id == batch_id).values(refusal=reason))


def record_closed(connection: Connection, batch_id: str, *, at: datetime, outcome: Outcome) -> None:
    """Close a batch: every run has an outcome and every teardown is confirmed or bounded."""
    connection.execute(
        update(batches)
        .where(batches.c.batch_id == batch_id, batches.c.status == BatchStatus.OPEN.value)
        .values(status=BatchStatus.CLOSED.value, closed_at=at, outcome=outcome.value)
    )


def _batch(row: Row[Any]) -> Batch:
    return Batch(
        batch_id=row.batch_id,
        name=row.name,
        status=BatchStatus(row.status),
        created_at=row.created_at,
        document=row.document,
        digest=row.digest,
        speed=row.speed,
        cancel_asked_at=row.cancel_asked_at,
        cancel_reason=row.cancel_reason,
        cancel_drains=row.cancel_drains,
        refusal=row.refusal,
        outcome=Outcome(row.outcome) if row.outcome else None,
        closed_at=row.closed_at,
        owner=row.owner,
        origin=Origin(row.origin),
        client_key=row.client_key,
        schedule=row.schedule,
        poked_at=row.poked_at,
    )
