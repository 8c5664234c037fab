"""Statements on the audit: lines are added and read, and the database itself refuses to change or remove one."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select

from orchestrator.domain.audit import AuditEntry, Detail
from orchestrator.store.tables import audit

NOTHING_MORE: Final[Detail] = MappingProxyType({})
_WIDTH: Final = 128  # of both columns
_PLAIN: Final = (str, int, float, bool, type(None))


def append(
    connection: Connection, *, at: datetime, actor: str, action: str, target: str, detail: Detail = NOTHING_MORE
) -> None:
    """Add a line, in the unit that does what it tells of, and only where it was done.

    TypeError for a detail that is not plain, as a secret is.
    """
    for name, value in detail.items():
        if not isinstance(value, _PLAIN):
            raise TypeError(f"the audit takes plain values; {name} is a {type(value).__name__}")
    connection.execute(
        insert(audit).values(
            at=at,
            actor=actor[:_WIDTH],
            action=action,
            target=target[:_WIDTH],
            detail=dict(detail),
        )
    )


def append_once(
    connection: Connection, *, at: datetime, actor: str, action: str, target: str, detail: Detail = NOTHING_MORE
) -> None:
    """The same, unless an earlier run of the unit, whose commit was not heard of, has added the line."""
    last = page_entries(connection, limit=1, target=target[:_WIDTH])
    if not any((line.at, line.actor, line.action) == (at, actor[:_WIDTH], action) for line in last):
        append(connection, at=at, actor=actor, action=action, target=target, detail=detail)


def page_entries(
    connection: Connection,
    *,
    limit: int,
    after: int | None = None,
    target: str | None = None,
    actor: str | None = None,
) -> list[AuditEntry]:
    """The newest lines first, from behind entry `after` on; only those of a target or an actor, where one is named."""
    query = select(audit).order_by(audit.c.entry_id.desc()).limit(limit)
    if after is not None:
        query = query.where(audit.c.entry_id < after)
    if target is not None:
        query = query.where(audit.c.target == target)
    if actor is not None:
        query = query.where(audit.c.actor == actor)
    return [_entry(row) for row in connection.execute(query)]


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(
        entry_id=row.entry_id,
        at=row.at,
        actor=row.actor,
        action=row.action,
        target=row.target,
        detail=row.detail,
    )
