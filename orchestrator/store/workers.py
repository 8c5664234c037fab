"""Statements on workers: their leases, and what becomes free when one is gone.

Leases are by the database's own clock: the clocks of many machines differ. An SQLite file has one driver, whose lock
says more than any lease; there the caller's clock will do.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, false, func, insert, select, text, update

from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.worker import WorkerRecord
from orchestrator.store.tables import batches, pools, sessions, workers


def now_of(connection: Connection, *, now: datetime) -> datetime:
    """The database's clock where it is shared, else the caller's."""
    if connection.dialect.name != "postgresql":
        return now
    moment: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment


def record_joined(connection: Connection, worker: WorkerRecord, *, lease: timedelta, alone: bool) -> None:
    """Insert a worker. `alone`: it holds the driving lock, so every other one is dead and what it owned is free."""
    now = now_of(connection, now=worker.started_at)
    if connection.execute(select(workers.c.worker_id).where(workers.c.worker_id == worker.worker_id)).first() is None:
        connection.execute(
            insert(workers).values(
                worker_id=worker.worker_id,
                host=worker.host,
                pid=worker.pid,
                version=worker.version,
                started_at=now,
                lease_until=now + lease,
            )
        )
    if alone:
        others = workers.c.worker_id != worker.worker_id
        living = workers.c.gone_at.is_(None) & workers.c.fenced_at.is_(None)
        connection.execute(update(workers).where(others, living).values(fenced_at=now, fenced_by=worker.worker_id))
        _free_all_but(connection, worker.worker_id)


def renew(connection: Connection, worker_id: str, *, lease: timedelta, now: datetime) -> bool:
    """Lengthen a lease; False where the worker was fenced meanwhile: it owns nothing any more."""
    until = now_of(connection, now=now) + lease
    mine = (workers.c.worker_id == worker_id) & workers.c.fenced_at.is_(None)
    return connection.execute(update(workers).where(mine).values(lease_until=until)).rowcount == 1


def fence_expired(connection: Connection, *, by: str, now: datetime) -> list[str]:
    """Fence the workers whose lease ran out, and free what they owned; returns their ids. Each is fenced once."""
    at = now_of(connection, now=now)
    expired = workers.c.gone_at.is_(None) & workers.c.fenced_at.is_(None) & (workers.c.lease_until < at)
    fenced = update(workers).where(expired, workers.c.worker_id != by).values(fenced_at=at, fenced_by=by)
    dead = [row.worker_id for row in connection.execute(fenced.returning(workers.c.worker_id))]
    if dead:
        free(connection, dead)
    return dead


def record_gone(connection: Connection, worker_id: str, *, now: datetime) -> None:
    """Note that a worker leaves in good order, and free what it owned."""
    at = now_of(connection, now=now)
    connection.execute(update(workers).where(workers.c.worker_id == worker_id).values(gone_at=at))
    free(connection, [worker_id])


def free(connection: Connection, worker_ids: Collection[str]) -> None:
    """Leave what these workers owned to whoever is free; what they were tearing down may be claimed at once."""
    owned = select(batches.c.batch_id).where(batches.c.owner.in_(worker_ids))
    kept = select(pools.c.name).where(pools.c.owner.in_(worker_ids))
    connection.execute(
        update(sessions)
        .where(sessions.c.settled.is_(false()), sessions.c.batch_id.in_(owned) | sessions.c.pool.in_(kept))
        .values(teardown_next=None)
    )
    connection.execute(
        update(batches)
        .where(batches.c.owner.in_(worker_ids), batches.c.status == BatchStatus.OPEN.value)
        .values(owner=None)
    )
    connection.execute(update(pools).where(pools.c.owner.in_(worker_ids)).values(owner=None))


def is_dead(connection: Connection, worker_id: str) -> bool:
    """Whether a worker was fenced or left, so that nothing may be given to it: nobody would ever free it again.

    Until this transaction ends nobody can fence it, and whoever does so later frees what it was given here.
    """
    query = select(workers.c.fenced_at, workers.c.gone_at).where(workers.c.worker_id == worker_id)
    row = connection.execute(query.with_for_update(read=True)).one_or_none()
    return row is not None and (row.fenced_at is not None or row.gone_at is not None)


def count_live(connection: Connection, *, now: datetime) -> int:
    """How many workers are alive."""
    at = now_of(connection, now=now)
    living = workers.c.gone_at.is_(None) & workers.c.fenced_at.is_(None) & (workers.c.lease_until >= at)
    return int(connection.execute(select(func.count()).where(living)).scalar_one())


def record_serves(connection: Connection, worker_id: str, *, serves: bool) -> None:
    """Note whether a worker goes on with what others leave: one that serves, until it begins to stop."""
    connection.execute(update(workers).where(workers.c.worker_id == worker_id).values(serves=serves))


def count_companions(connection: Connection, worker_id: str, *, now: datetime) -> int:
    """How many other workers are alive and go on with what this one leaves."""
    at = now_of(connection, now=now)
    living = workers.c.gone_at.is_(None) & workers.c.fenced_at.is_(None) & (workers.c.lease_until >= at)
    others = living & workers.c.serves & (workers.c.worker_id != worker_id)
    return int(connection.execute(select(func.count()).where(others)).scalar_one())


def list_workers(connection: Connection, *, limit: int = 100) -> list[WorkerRecord]:
    """The latest workers, those that began last first."""
    query = select(workers).order_by(workers.c.started_at.desc()).limit(limit)
    return [_worker(row) for row in connection.execute(query)]


def get_living(connection: Connection, *, now: datetime) -> list[WorkerRecord]:
    """The workers that are alive, the oldest first."""
    at = now_of(connection, now=now)
    living = workers.c.gone_at.is_(None) & workers.c.fenced_at.is_(None) & (workers.c.lease_until >= at)
    return [_worker(row) for row in connection.execute(select(workers).where(living).order_by(workers.c.started_at))]


def _free_all_but(connection: Connection, worker_id: str) -> None:
    """Whoever else is written down as an owner is dead, also one that no row of workers tells of."""
    open_batch = batches.c.status == BatchStatus.OPEN.value
    strangers = batches.c.owner.is_not(None) & (batches.c.owner != worker_id)
    connection.execute(update(batches).where(open_batch, strangers).values(owner=None))
    connection.execute(update(pools).where(pools.c.owner.is_not(None), pools.c.owner != worker_id).values(owner=None))
    connection.execute(update(sessions).where(sessions.c.settled.is_(false())).values(teardown_next=None))


def _worker(row: Row[Any]) -> WorkerRecord:
    return WorkerRecord(
        worker_id=row.worker_id,
        host=row.host,
        pid=row.pid,
        version=row.version,
        started_at=row.started_at,
        lease_until=row.lease_until,
        gone_at=row.gone_at,
        fenced_at=row.fenced_at,
        fenced_by=row.fenced_by,
    )
