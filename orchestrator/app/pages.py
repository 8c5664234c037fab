"""The lists a user has, a page at a time: each is read from where the last page ended, however long it has become."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from orchestrator.app.schedules import fires_of
from orchestrator.domain.audit import AuditEntry
from orchestrator.domain.batch import Batch, BatchStatus, Origin, Totals
from orchestrator.domain.page import (
    MOST_PER_PAGE,
    Page,
    cut_page,
    moment_cursor,
    number_cursor,
    read_moment,
    read_number,
)
from orchestrator.domain.run import Run
from orchestrator.domain.schedule import Fire
from orchestrator.domain.session import Session
from orchestrator.store import audit as audit_rows
from orchestrator.store import batches as batch_rows
from orchestrator.store import runs as run_rows
from orchestrator.store import sessions as session_rows
from orchestrator.store.database import Store

T = TypeVar("T")

BATCHES: Final = "batches"
RUNS: Final = "runs"
SESSIONS: Final = "sessions"
FIRES: Final = "fires"
AUDIT: Final = "audit"


async def batch_page(
    store: Store,
    *,
    limit: int,
    cursor: str | None = None,
    status: BatchStatus | None = None,
    name: str | None = None,
    schedule: str | None = None,
    origin: Origin | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page[tuple[Batch, Totals]]:
    """The newest batches first, each with its runs by outcome; created from `since` to before `until`."""
    found = await store.read(
        partial(
            batch_rows.page_batches,
            limit=limit + 1,
            after=read_moment(BATCHES, cursor),
            status=status,
            name=name,
            schedule=schedule,
            origin=origin,
            since=since,
            until=until,
        )
    )
    page = cut_page(found, limit=limit, cursor_of=lambda one: moment_cursor(BATCHES, one.created_at, one.batch_id))
    totals = await store.read(partial(batch_rows.totals_of, batch_ids=[one.batch_id for one in page.items]))
    return Page(items=tuple((one, totals[one.batch_id]) for one in page.items), next_cursor=page.next_cursor)


async def run_page(store: Store, batch_id: str, *, limit: int, cursor: str | None = None) -> Page[Run]:
    """The runs of a batch in order."""
    after = read_number(RUNS, cursor)
    found = await store.read(partial(run_rows.page_runs, batch_id=batch_id, limit=limit + 1, after=after))
    return cut_page(found, limit=limit, cursor_of=lambda one: number_cursor(RUNS, one.index))


async def session_page(
    store: Store,
    *,
    limit: int,
    cursor: str | None = None,
    batch_id: str | None = None,
    pool: str | None = None,
    unsettled: bool = False,
) -> Page[Session]:
    """The newest sessions first; `unsettled` leaves out those with nothing left to tear down."""
    found = await store.read(
        partial(
            session_rows.page_sessions,
            limit=limit + 1,
            after=read_moment(SESSIONS, cursor),
            batch_id=batch_id,
            pool=pool,
            unsettled=unsettled,
        )
    )
    return cut_page(found, limit=limit, cursor_of=lambda one: moment_cursor(SESSIONS, one.intended_at, one.nonce))


async def fire_page(store: Store, schedule: str, *, limit: int, cursor: str | None = None) -> Page[Fire]:
    """The latest fires of a schedule first; NotFound where there is none of that name."""
    after = read_moment(FIRES, cursor)
    found = await fires_of(store, schedule, limit=limit + 1, before=None if after is None else after[0])
    return cut_page(found, limit=limit, cursor_of=lambda one: moment_cursor(FIRES, one.due_at, str(one.fire_id)))


async def audit_page(
    store: Store, *, limit: int, cursor: str | None = None, target: str | None = None, actor: str | None = None
) -> Page[AuditEntry]:
    """The newest lines of the audit first."""
    after = read_number(AUDIT, cursor)
    found = await store.read(partial(audit_rows.page_entries, limit=limit + 1, after=after, target=target, actor=actor))
    return cut_page(found, limit=limit, cursor_of=lambda one: number_cursor(AUDIT, one.entry_id))


async def gather_pages(read: Callable[[int, str | None], Awaitable[Page[T]]], *, most: int | None) -> list[T]:
    """The first `most` rows of a list, or all of it, a page at a time; `read` takes a limit and a cursor."""
    found: list[T] = []
    cursor: str | None = None
    while most is None or len(found) < most:
        page = await read(MOST_PER_PAGE if most is None else min(most - len(found), MOST_PER_PAGE), cursor)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return found
