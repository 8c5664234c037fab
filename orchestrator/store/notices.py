"""Statements on notices: committed with the end they tell of, claimed by whoever sends them, settled by its answer.

Of the moments that many workers compare, the database's clock decides.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, insert, or_, select, update

from orchestrator.domain.notice import BatchEnd, Delivery, Notice, NoticeKind, Occasion, after_try
from orchestrator.store.tables import notices
from orchestrator.store.workers import now_of

_NEWEST_FIRST: Final = (notices.c.created_at.desc(), notices.c.notice_id.desc())


def record_notices(connection: Connection, new: Sequence[Notice]) -> None:
    """Insert the notices of a batch, in the unit that closes it."""
    for notice in new:
        values = {
            "notice_id": notice.notice_id,
            "batch_id": notice.batch_id,
            "position": notice.position,
            "kind": notice.kind.value,
            "why": [one.value for one in notice.why],
            "batch_end": notice.end.value,
            "before_end": notice.before.value if notice.before is not None else None,
            "before_batch_id": notice.before_batch_id,
            "created_at": notice.created_at,
            "tries": notice.tries,
            "next_try_at": notice.next_try_at,
            "last_error": notice.last_error,
        }
        connection.execute(insert(notices).values(values))


def any_due(connection: Connection, *, now: datetime, but: Collection[str] = ()) -> bool:
    """Whether there is a notice to send now that nobody is sending, `but` left out."""
    query = select(notices.c.notice_id).where(_due(now_of(connection, now=now), but)).limit(1)
    return connection.execute(query).first() is not None


def claim_due(
    connection: Connection, *, now: datetime, lasts: timedelta, most: int, but: Collection[str] = ()
) -> list[Notice]:
    """Take the notices that are due, and count the try: nobody else sends them while the claim `lasts`."""
    at = now_of(connection, now=now)
    due = _due(at, but)
    waiting = select(notices.c.notice_id).where(due).order_by(notices.c.next_try_at).limit(most)
    chosen = [row.notice_id for row in connection.execute(waiting.with_for_update(skip_locked=True))]
    if not chosen:
        return []
    claim = update(notices).where(notices.c.notice_id.in_(chosen), due)
    claim = claim.values(claimed_until=at + lasts, tries=notices.c.tries + 1)
    return [_notice(row) for row in connection.execute(claim.returning(*notices.c))]


def release_claims(connection: Connection) -> None:
    """Void every claim: whoever holds the driving lock knows that whoever made them is dead."""
    connection.execute(update(notices).where(notices.c.next_try_at.is_not(None)).values(claimed_until=None))


def record_delivery(
    connection: Connection, claimed: Notice, delivery: Delivery, *, now: datetime, spread: float
) -> Notice:
    """Write down what a claimed try came to; the notice as it is then.

    Where the claim ran out and somebody else tried it meanwhile, only that it was sent is still news.
    """
    settled = after_try(claimed, delivery, at=now_of(connection, now=now), spread=spread)
    record = update(notices).where(notices.c.notice_id == claimed.notice_id, notices.c.sent_at.is_(None))
    if settled.sent_at is None:
        record = record.where(notices.c.tries == claimed.tries)
    record = record.values(
        tries=settled.tries,
        next_try_at=settled.next_try_at,
        claimed_until=None,
        sent_at=settled.sent_at,
        given_up_at=settled.given_up_at,
        last_error=settled.last_error,
    )
    connection.execute(record)
    return settled


def page_notices(connection: Connection, *, limit: int, unsent: bool = False) -> list[Notice]:
    """The newest first; `unsent`: only those that were not sent, whether they still may be or not."""
    query = select(notices).order_by(*_NEWEST_FIRST).limit(limit)
    if unsent:
        query = query.where(notices.c.sent_at.is_(None))
    return [_notice(row) for row in connection.execute(query)]


def waiting_notices(connection: Connection, *, limit: int, batch_id: str | None = None) -> list[Notice]:
    """Those still to be sent, the next one first; `batch_id`: of that batch only."""
    query = select(notices).where(notices.c.next_try_at.is_not(None)).order_by(notices.c.next_try_at).limit(limit)
    if batch_id is not None:
        query = query.where(notices.c.batch_id == batch_id)
    return [_notice(row) for row in connection.execute(query)]


def _due(at: datetime, but: Collection[str]) -> ColumnElement[bool]:
    free = or_(notices.c.claimed_until.is_(None), notices.c.claimed_until <= at)
    due = (notices.c.next_try_at <= at) & free
    return due & notices.c.notice_id.not_in(but) if but else due


def _notice(row: Row[Any]) -> Notice:
    return Notice(
        notice_id=row.notice_id,
        batch_id=row.batch_id,
        position=row.position,
        kind=NoticeKind(row.kind),
        why=tuple(Occasion(one) for one in row.why),
        end=BatchEnd(row.batch_end),
        created_at=row.created_at,
        before=BatchEnd(row.before_end) if row.before_end else None,
        before_batch_id=row.before_batch_id,
        tries=row.tries,
        next_try_at=row.next_try_at,
        sent_at=row.sent_at,
        given_up_at=row.given_up_at,
        last_error=row.last_error,
    )
