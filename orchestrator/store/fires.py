"""Statements on fires: what became of each occurrence of a schedule, once."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, literal_column, select, update

from orchestrator.domain.schedule import Decided, Fire, FireDecision
from orchestrator.store.tables import OF_SCHEDULES, QUEUED, batches, fires


def record_fire(
    connection: Connection,
    schedule: str,
    decided: Decided,
    *,
    at: datetime,
    batch_id: str | None = None,
    manual: bool = False,
    client_key: str | None = None,
) -> Fire:
    """Insert what was decided on one occurrence; a second decision on it is refused by the table."""
    row = connection.execute(
        insert(fires)
        .values(
            schedule=schedule,
            due_at=decided.due_at,
            decision=decided.decision.value,
            reason=decided.reason,
            decided_at=at,
            batch_id=batch_id,
            manual=manual,
            client_key=client_key,
        )
        .returning(*fires.c)
    ).one()
    return _fire(row)


def decided_among(connection: Connection, schedule: str, moments: Collection[datetime]) -> set[datetime]:
    """Those moments that were decided already: a clock that was set back must not make them due again."""
    if not moments:
        return set()
    query = select(fires.c.due_at).where(
        fires.c.schedule == schedule, fires.c.due_at >= min(moments), fires.c.due_at <= max(moments)
    )
    return {row.due_at for row in connection.execute(query)} & set(moments)


def waiting_fire(connection: Connection, schedule: str) -> Fire | None:
    """The fire that waits for earlier batches of its schedule."""
    query = select(fires).where(literal_column(QUEUED), fires.c.schedule == schedule).order_by(fires.c.due_at)
    row = connection.execute(query.limit(1)).one_or_none()
    return _fire(row) if row is not None else None


def record_begun(connection: Connection, fire: Fire, decided: Decided, *, at: datetime, batch_id: str | None) -> bool:
    """Say what became of a fire that waited; False where somebody else has said so."""
    still_waits = (fires.c.fire_id == fire.fire_id) & (fires.c.decision == FireDecision.QUEUED.value)
    values = {"decision": decided.decision.value, "reason": decided.reason, "decided_at": at, "batch_id": batch_id}
    return connection.execute(update(fires).where(still_waits).values(values)).rowcount == 1


def find_fire(connection: Connection, schedule: str, *, due_at: datetime, client_key: str | None) -> Fire | None:
    """The fire of one moment, or the one that was asked for with this key."""
    same = fires.c.due_at == due_at
    if client_key is not None:
        same |= fires.c.client_key == client_key
    row = connection.execute(select(fires).where(fires.c.schedule == schedule, same)).first()
    return _fire(row) if row is not None else None


def list_fires(connection: Connection, schedule: str, *, limit: int, before: datetime | None = None) -> list[Fire]:
    """The latest fires first; `before`: only those due earlier."""
    query = select(fires).where(fires.c.schedule == schedule)
    if before is not None:
        query = query.where(fires.c.due_at < before)
    return [_fire(row) for row in connection.execute(query.order_by(fires.c.due_at.desc()).limit(limit))]


def last_fires(connection: Connection, schedules: Collection[str]) -> dict[str, Fire]:
    """The latest fire of each of these schedules that had one."""
    return {name: fire for name in schedules for fire in list_fires(connection, name, limit=1)}


def open_batches(connection: Connection, schedule: str) -> list[str]:
    """The ids of a schedule's batches that are not closed, the oldest first."""
    query = select(batches.c.batch_id).where(literal_column(OF_SCHEDULES), batches.c.schedule == schedule)
    return [row.batch_id for row in connection.execute(query.order_by(batches.c.created_at))]


def _fire(row: Row[Any]) -> Fire:
    return Fire(
        fire_id=row.fire_id,
        schedule=row.schedule,
        due_at=row.due_at,
        decision=FireDecision(row.decision),
        reason=row.reason,
        decided_at=row.decided_at,
        batch_id=row.batch_id,
        manual=row.manual,
    )
