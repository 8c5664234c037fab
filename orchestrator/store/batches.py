"""Statements on batches."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, exists, func, insert, or_, select, update

from orchestrator.domain.batch import Batch, BatchStatus, Origin, Totals
from orchestrator.domain.errors import Conflict, Disowned, NotFound
from orchestrator.domain.page import Moment
from orchestrator.domain.run import Run
from orchestrator.domain.verdict import Outcome
from orchestrator.store import runs
from orchestrator.store.keyset import below, called
from orchestrator.store.tables import batches, submissions
from orchestrator.store.tables import runs as run_rows
from orchestrator.store.workers import is_dead

_NEWEST_FIRST: Final = (batches.c.created_at.desc(), batches.c.batch_id.desc())


def record_batch(connection: Connection, batch: Batch, planned: Sequence[Run]) -> None:
    """Insert a batch with all its runs: one unit. One that is there already was committed by a run of this unit.

    Conflict where another batch came by the same id: nothing of this one is there, and it may be tried under another.
    """
    there = connection.execute(select(batches).where(_one(batch.batch_id))).one_or_none()
    if there is not None:
        if (there.created_at, there.client_key, there.digest) != (batch.created_at, batch.client_key, batch.digest):
            raise Conflict(f"another batch has the id {batch.batch_id}")
        return
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


def find_batch(connection: Connection, batch_id: str) -> Batch | None:
    """One batch; None where there is none."""
    row = connection.execute(select(batches).where(batches.c.batch_id == batch_id)).one_or_none()
    return None if row is None else _batch(row)


def get_batch(connection: Connection, batch_id: str) -> Batch:
    """One batch; NotFound names it."""
    batch = find_batch(connection, batch_id)
    if batch is None:
        error = NotFound(f"no batch {batch_id} in this state")
        error.next_step = "`orchestrator batches list` shows the ones it knows."
        raise error
    return batch


def page_batches(
    connection: Connection,
    *,
    limit: int,
    after: Moment | None = None,
    status: BatchStatus | None = None,
    name: str | None = None,
    schedule: str | None = None,
    origin: Origin | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Batch]:
    """The newest first, from behind `after` (created_at, batch_id) on; created from `since` to before `until`."""
    query = select(batches).order_by(*_NEWEST_FIRST).limit(limit)
    if after is not None:
        query = query.where(below((batches.c.created_at, batches.c.batch_id), after))
    wanted = {batches.c.status: status, batches.c.name: name, batches.c.schedule: schedule, batches.c.origin: origin}
    query = query.where(*(column == value for column, value in wanted.items() if value is not None))
    if since is not None:
        query = query.where(batches.c.created_at >= since)
    if until is not None:
        query = query.where(batches.c.created_at < until)
    return [_batch(row) for row in connection.execute(query)]


def totals_of(connection: Connection, batch_ids: Sequence[str]) -> dict[str, Totals]:
    """The runs of each of these batches by outcome, by one query that reads no run's document."""
    counted: dict[str, dict[str | None, int]] = {batch_id: {} for batch_id in batch_ids}
    query = (
        select(run_rows.c.batch_id, run_rows.c.outcome, func.count())
        .where(run_rows.c.batch_id.in_(counted))
        .group_by(run_rows.c.batch_id, run_rows.c.outcome)
    )
    for batch_id, outcome, number in connection.execute(query):
        counted[batch_id][outcome] = number
    return {batch_id: _totals(outcomes) for batch_id, outcomes in counted.items()}


def _totals(outcomes: Mapping[str | None, int]) -> Totals:
    return Totals(
        runs=sum(outcomes.values()),
        passed=outcomes.get(Outcome.PASSED, 0),
        failed=outcomes.get(Outcome.FAILED, 0),
        inconclusive=outcomes.get(Outcome.INCONCLUSIVE, 0),
    )


def open_batches(connection: Connection) -> list[Batch]:
    """Every batch that is not closed, newest first."""
    query = select(batches).where(batches.c.status == BatchStatus.OPEN.value).order_by(*_NEWEST_FIRST)
    return [_batch(row) for row in connection.execute(query)]


def find_by_client_key(connection: Connection, client_key: str) -> Batch | None:
    """The batch that was asked for with this key; None where none was."""
    row = connection.execute(select(batches).where(batches.c.client_key == client_key)).one_or_none()
    return None if row is None else _batch(row)


def newest_batch_id(connection: Connection) -> str | None:
    """The id of the batch that was created last; None where there is none."""
    return connection.execute(select(batches.c.batch_id).order_by(*_NEWEST_FIRST).limit(1)).scalar_one_or_none()


def find_batch_ids(connection: Connection, name: str) -> list[str]:
    """The id that is `name`, else those that begin with it: two at most, which are too many already."""
    for condition in called(connection, batches.c.batch_id, name):
        found = connection.execute(select(batches.c.batch_id).where(condition).limit(2)).scalars().all()
        if found:
            return list(found)
    return []


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


def record_stopped(connection: Connection, batch_id: str, *, at: datetime, reason: str) -> None:
    """Commit that the ramp of an open batch is stopped: nothing more of it is begun. The first reason stays."""
    connection.execute(
        update(batches)
        .where(_one(batch_id), batches.c.status == BatchStatus.OPEN.value, batches.c.stopped_at.is_(None))
        .values(stopped=reason, stopped_at=at)
    )


def claim_batches(
    connection: Connection,
    worker_id: str,
    *,
    most: int,
    origin: Origin | None = None,
    driven: Collection[str] | None = None,
) -> list[Batch]:
    """Take open batches that nobody owns, the oldest first: each goes to one worker, however many ask at once.

    Given those that one has `driven` so far, others of one's own come too: a commit took them whose answer was lost.
    `origin`: only those that were asked for in this way.
    """
    if is_dead(connection, worker_id):
        return []
    free: ColumnElement[bool] = batches.c.owner.is_(None)
    if driven is not None:
        free |= (batches.c.owner == worker_id) & batches.c.batch_id.not_in(driven)
    free &= batches.c.status == BatchStatus.OPEN.value
    if origin is not None:
        free &= batches.c.origin == origin.value
    waiting = select(batches.c.batch_id).where(free).order_by(batches.c.created_at).limit(most)
    chosen = [row.batch_id for row in connection.execute(waiting.with_for_update(skip_locked=True))]
    if not chosen:
        return []
    taken = update(batches).where(batches.c.batch_id.in_(chosen), free).values(owner=worker_id).returning(*batches.c)
    return sorted((_batch(row) for row in connection.execute(taken)), key=lambda batch: batch.created_at)


def claim_batch(connection: Connection, batch_id: str, worker_id: str) -> bool:
    """Take one batch that nobody owns, or find that it is one's own; False where another worker drives it.

    A worker that was fenced gets none: `is_dead` says why.
    """
    if is_dead(connection, worker_id):
        return False
    mine = or_(batches.c.owner.is_(None), batches.c.owner == worker_id)
    return connection.execute(update(batches).where(_one(batch_id), mine).values(owner=worker_id)).rowcount == 1


def hold(connection: Connection, batch_id: str, worker_id: str) -> None:
    """Make sure that a batch is one's own until this transaction ends; Disowned where another worker took it."""
    query = select(batches.c.owner).where(_one(batch_id)).with_for_update(read=True)
    owner = connection.execute(query).scalar_one_or_none()
    if owner != worker_id:
        raise Disowned(f"batch {batch_id} is driven by another worker now")


def _one(batch_id: str) -> ColumnElement[bool]:
    return batches.c.batch_id == batch_id


def going_on(batch_id: ColumnElement[str]) -> ColumnElement[bool]:
    """The condition on a row that its batch is open, and neither to be cancelled nor its ramp stopped.

    Only then may it cause something yet.
    """
    return exists().where(
        batches.c.batch_id == batch_id,
        batches.c.status == BatchStatus.OPEN.value,
        batches.c.cancel_asked_at.is_(None),
        batches.c.stopped_at.is_(None),
    )


def record_refusal(connection: Connection, batch_id: str, *, reason: str) -> None:
    """Note why the batch ended before it cost anything."""
    connection.execute(update(batches).where(batches.c.batch_id == batch_id).values(refusal=reason))


def record_poked(
    connection: Connection, *, cekura_result_id: int | None, cekura_run_ids: Sequence[int], at: datetime
) -> list[str]:
    """Note that Cekura is said to have news of this result or these runs; the open batches that hold any of them.

    Nothing is written where no open batch does. Whoever drives one sees it in the row, in whichever process.
    """
    holds = []
    if cekura_result_id is not None:
        held = select(submissions.c.batch_id).where(submissions.c.cekura_result_id == cekura_result_id)
        holds.append(batches.c.batch_id.in_(held))
    if cekura_run_ids:
        held = select(run_rows.c.batch_id).where(run_rows.c.cekura_run_id.in_(cekura_run_ids))
        holds.append(batches.c.batch_id.in_(held))
    if not holds:
        return []
    poke = update(batches).where(batches.c.status == BatchStatus.OPEN.value, or_(*holds)).values(poked_at=at)
    return [row.batch_id for row in connection.execute(poke.returning(batches.c.batch_id))]


def record_closed(connection: Connection, batch_id: str, *, at: datetime, outcome: Outcome) -> bool:
    """Close a batch: every run has an outcome and every teardown is confirmed or bounded. False where it is closed."""
    closed = (
        update(batches)
        .where(batches.c.batch_id == batch_id, batches.c.status == BatchStatus.OPEN.value)
        .values(status=BatchStatus.CLOSED.value, closed_at=at, outcome=outcome.value)
    )
    return connection.execute(closed).rowcount == 1


def last_closed(connection: Connection, *, name: str, but: str) -> Batch | None:
    """The batch of that name that closed last, `but` left out; None where none has."""
    query = (
        select(batches)
        .where(batches.c.name == name, batches.c.closed_at.is_not(None), batches.c.batch_id != but)
        .order_by(batches.c.closed_at.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _batch(row)


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
        stopped=row.stopped,
        stopped_at=row.stopped_at,
    )
