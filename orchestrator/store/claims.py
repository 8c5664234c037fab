"""Statements on what is to be torn down, and which reaper does it: its claim is an `UPDATE ... RETURNING`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, false, or_, select, true, update

from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.session import Session
from orchestrator.store.session_row import session_of
from orchestrator.store.tables import batches, pools, sessions


def claim_due(
    connection: Connection, *, now: datetime, until: datetime, most: int, worker_id: str | None = None
) -> list[Session]:
    """The reaper's claim: condemned sessions that are due; nobody else gets them before `until`.

    Where many workers reap, each takes what belongs to itself or to nobody (`worker_id`), so that whoever drives a
    batch hears of its teardown at once.
    """
    due = (
        select(sessions.c.nonce)
        .where(
            sessions.c.settled.is_(false()),
            sessions.c.teardown_from <= now,
            or_(sessions.c.teardown_next.is_(None), sessions.c.teardown_next <= now),
        )
        .order_by(sessions.c.teardown_from)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    if worker_id is not None:
        due = due.where(_of_worker_or_nobody(worker_id))
    claimed = connection.execute(
        update(sessions)
        .where(sessions.c.nonce.in_(due))
        .values(teardown_next=until, teardown_tries=sessions.c.teardown_tries + 1)
        .returning(*sessions.c)
    )
    return [session_of(row) for row in claimed]


def _of_worker_or_nobody(worker_id: str) -> ColumnElement[bool]:
    others = select(batches.c.batch_id).where(
        batches.c.batch_id == sessions.c.batch_id,
        batches.c.status == BatchStatus.OPEN.value,
        batches.c.owner.is_not(None),
        batches.c.owner != worker_id,
    )
    kept = select(pools.c.name).where(
        pools.c.name == sessions.c.pool, pools.c.owner.is_not(None), pools.c.owner != worker_id
    )
    return and_(~others.exists(), or_(sessions.c.batch_id.is_not(None), ~kept.exists()))


def release_claims(connection: Connection, *, worker_id: str | None = None) -> None:
    """Void every claim that nobody else holds: whoever holds the driving lock knows that all other reapers are dead."""
    mine = _of_worker_or_nobody(worker_id) if worker_id is not None else true()
    connection.execute(update(sessions).where(sessions.c.settled.is_(false()), mine).values(teardown_next=None))
