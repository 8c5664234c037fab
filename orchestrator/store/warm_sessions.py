"""Statements on the sessions of pools: started for nobody yet, given to one run by one conditional update.

Whatever decides over a waiting session asks in the same statement that it waits still: a run may have taken it, or its
pool's owner condemned it, since the caller looked.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from orchestrator.domain.budget import NO_LIMITS, SharedLimits
from orchestrator.domain.errors import Conflict
from orchestrator.domain.plan import AgentSpec, Evidence
from orchestrator.domain.pool import plan_taking
from orchestrator.domain.run import Run
from orchestrator.domain.session import Session, SessionStatus
from orchestrator.store.batches import going_on
from orchestrator.store.budget import count_held_by_pool, has_room, has_shared_room, note_one_more
from orchestrator.store.locks import may_be_rerun
from orchestrator.store.remnants import note_token_left
from orchestrator.store.runs import record_run
from orchestrator.store.session_row import session_of
from orchestrator.store.sessions import insert_intent
from orchestrator.store.tables import IN_POOL, POOL_LEFT, UtcTime, pools, sessions

LONGEST_LIFE: Final = timedelta(days=1)  # no platform lets a session live longer
Taken = tuple[Session, tuple[Run, ...]]  # a session given to a run, and each step of that run
_OF: Final = sessions.c.nonce == bindparam("of_session")
_WAITS: Final[ColumnElement[bool]] = literal_column(IN_POOL)  # as the index says it, so that SQLite takes the index
_READY: Final = and_(_WAITS, sessions.c.status == SessionStatus.ALIVE.value, sessions.c.ready_at.is_not(None))


def _kept_by(worker_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Of a session: its pool is this worker's, and may have sessions."""
    return exists().where(
        pools.c.name == sessions.c.pool,
        pools.c.owner == worker_id,
        pools.c.paused_at.is_(None),
        pools.c.removed_at.is_(None),
    )


_SENT: Final = (
    update(sessions)
    .where(_OF, _WAITS, sessions.c.status == SessionStatus.INTENT.value, _kept_by(bindparam("worker")))
    .values(status=SessionStatus.SENT.value, sent_at=bindparam("at"))
    .returning(*sessions.c)
)


def record_warm_intent(
    connection: Connection, session: Session, *, worker_id: str, most: int, shared: SharedLimits = NO_LIMITS
) -> bool:
    """Insert a session of a pool before its start call; False (and no row) where the pool is not this worker's to fill
    any more, `most` of the pool's may live already, or as many of all batches and pools as `shared` allows.
    """
    if (
        may_be_rerun(connection)
        and connection.execute(select(sessions.c.nonce).where(sessions.c.nonce == session.nonce)).first()
    ):
        return True
    owned = select(pools.c.name).where(
        pools.c.name == session.pool,
        pools.c.owner == worker_id,
        pools.c.paused_at.is_(None),
        pools.c.removed_at.is_(None),
    )
    if connection.execute(owned.with_for_update()).one_or_none() is None:
        return False
    if count_held_by_pool(connection, session.pool or "", now=session.intended_at) >= most:
        return False
    if not has_shared_room(connection, now=session.intended_at, limits=SharedLimits(sessions=shared.sessions)):
        return False
    insert_intent(connection, session)
    return True


def record_warm_sent(connection: Connection, nonce: str, *, worker_id: str, at: datetime) -> Session | None:
    """Note that the start call is about to be made; None unless it is an untouched intent of a pool of one's own."""
    row = connection.execute(_SENT, {"of_session": nonce, "worker": worker_id, "at": at}).one_or_none()
    if row is None and may_be_rerun(connection):
        ours = (sessions.c.status == SessionStatus.SENT.value) & (sessions.c.sent_at == at)
        row = connection.execute(select(sessions).where(sessions.c.nonce == nonce, ours, _WAITS)).one_or_none()
    return session_of(row) if row is not None else None


def record_never_sent(connection: Connection, nonce: str, *, note: str) -> None:
    """Note that a start was never made; nothing where it was, or may have been."""
    untouched = sessions.c.status == SessionStatus.INTENT.value
    refused = {"status": SessionStatus.REFUSED.value, "note": note, "settled": True}
    connection.execute(update(sessions).where(sessions.c.nonce == nonce, untouched).values(refused))


def record_lost(connection: Connection, nonce: str, *, at: datetime, note: str) -> None:
    """Note that a start's answer was lost, and condemn what it may have made; nothing where it was answered."""
    unanswered = sessions.c.status == SessionStatus.SENT.value
    connection.execute(
        update(sessions)
        .where(sessions.c.nonce == nonce, unanswered)
        .values(
            status=SessionStatus.LOST.value,
            note=note,
            condemned_at=func.coalesce(sessions.c.condemned_at, literal(at, UtcTime)),
            condemned_for=case((sessions.c.condemned_at.is_(None), note), else_=sessions.c.condemned_for),
            teardown_from=func.coalesce(sessions.c.teardown_from, literal(at, UtcTime)),
            meeting_token=None,
        )
    )


def record_warm_ready(
    connection: Connection, nonce: str, *, at: datetime, evidence: Evidence, fit_until: datetime, seen_by: str | None
) -> Session | None:
    """Note that the bot is in its room, on what evidence, and the Daily key that was shown it; None unless it waits."""
    seen_at = at if evidence in {Evidence.PRESENCE, Evidence.PROBE} else None
    row = connection.execute(
        update(sessions)
        .where(sessions.c.nonce == nonce, _WAITS, sessions.c.ready_at.is_(None))
        .values(
            ready_at=at,
            evidence=evidence.value,
            seen_in_room_at=seen_at,
            checked_at=at,
            fit_until=fit_until,
            room_seen_by=func.coalesce(seen_by, sessions.c.room_seen_by),
        )
        .returning(*sessions.c)
    ).one_or_none()
    return session_of(row) if row is not None else None


def record_checked(connection: Connection, nonce: str, *, at: datetime) -> None:
    """Note when a waiting session was last seen alive."""
    later = or_(sessions.c.checked_at.is_(None), sessions.c.checked_at < at)
    connection.execute(update(sessions).where(sessions.c.nonce == nonce, _WAITS, later).values(checked_at=at))


def retire(connection: Connection, nonce: str, *, at: datetime, reason: str) -> Session | None:
    """Condemn a session that waits in a pool; None where a run took it, or it is condemned already."""
    note_token_left(connection)
    row = connection.execute(
        update(sessions).where(sessions.c.nonce == nonce, _WAITS).values(_condemned(at, reason)).returning(*sessions.c)
    ).one_or_none()
    return session_of(row) if row is not None else None


def retire_all(connection: Connection, *, at: datetime, reason: str) -> int:
    """Condemn every waiting session of every pool, where nobody is left to keep any; returns how many."""
    note_token_left(connection)
    return connection.execute(update(sessions).where(_WAITS).values(_condemned(at, reason))).rowcount


def _condemned(at: datetime, reason: str) -> dict[str, Any]:
    return {"condemned_at": at, "condemned_for": reason, "meeting_token": None, "teardown_from": at}


def acquire(
    connection: Connection,
    run: Run,
    *,
    pool: str,
    agent: AgentSpec,
    defined_at: datetime,
    at: datetime,
    seen_since: datetime,
    needed_until: datetime,
    most: int,
    shared: SharedLimits = NO_LIMITS,
) -> Taken | None:
    """Give a planned run the pool's oldest warm session that was seen alive since `seen_since`; None without one.

    It must be started by the definition of `defined_at`, and its room live until `needed_until`. `most` is the batch's
    session budget, `shared` what all batches may take. Session and run are written as one unit; returns the session,
    and the run's steps to `ready`. Conflict where the run is not as believed.
    """
    taken = _taken_before(connection, run, at=at) if may_be_rerun(connection) else None
    if taken is not None:
        return taken, plan_taking(run, taken, at=at)
    if not has_room(connection, run.batch_id, now=at, most=most):
        return None
    if not has_shared_room(connection, now=at, limits=SharedLimits(calls=shared.calls)):
        return None  # the session counts already, its call does not
    fit = _fit(pool, agent, defined_at=defined_at, at=at, needed_until=needed_until)
    # Where nothing can be asked, nobody can have looked: its evidence is then all there is.
    seen = or_(sessions.c.checked_at >= seen_since, sessions.c.evidence == Evidence.SETTLE.value)
    oldest = select(sessions.c.nonce).where(*fit, seen).order_by(sessions.c.ready_at, sessions.c.nonce).limit(1)
    nonce = connection.execute(oldest.with_for_update(skip_locked=True, of=sessions)).scalar_one_or_none()
    if nonce is None:
        return None
    row = connection.execute(
        update(sessions)
        .where(sessions.c.nonce == nonce, _READY, going_on(literal(run.batch_id)))
        .values(batch_id=run.batch_id, run_id=run.run_id, attempt=run.attempt + 1, taken_at=at)
        .returning(*sessions.c)
    ).one_or_none()
    steps = plan_taking(run, session_of(row), at=at) if row is not None else ()
    if row is None:
        return None
    if not steps or not record_run(connection, steps[-1], believed=run):
        raise Conflict(f"run {run.run_id} was changed by somebody else")
    note_one_more(connection, run.batch_id)
    return session_of(row), steps


def _taken_before(connection: Connection, run: Run, *, at: datetime) -> Session | None:
    """What an earlier run of the same unit took, where its commit was made and the answer lost."""
    ours = (sessions.c.run_id == run.run_id) & (sessions.c.attempt == run.attempt + 1) & (sessions.c.taken_at == at)
    row = connection.execute(select(sessions).where(ours)).one_or_none()
    return session_of(row) if row is not None else None


def oldest_unseen(
    connection: Connection,
    *,
    pool: str,
    agent: AgentSpec,
    defined_at: datetime,
    at: datetime,
    needed_until: datetime,
) -> Session | None:
    """The oldest session that a run could take now if it is alive: to be looked at first."""
    fit = _fit(pool, agent, defined_at=defined_at, at=at, needed_until=needed_until)
    row = connection.execute(select(sessions).where(*fit).order_by(sessions.c.ready_at, sessions.c.nonce)).first()
    return session_of(row) if row is not None else None


def _fit(
    pool: str, agent: AgentSpec, *, defined_at: datetime, at: datetime, needed_until: datetime
) -> tuple[ColumnElement[bool], ...]:
    usable = exists().where(
        pools.c.name == pool,
        pools.c.updated_at == defined_at,
        pools.c.paused_at.is_(None),
        pools.c.removed_at.is_(None),
    )
    return (
        _READY,
        sessions.c.pool == pool,
        sessions.c.agent_kind == agent.kind.value,
        sessions.c.agent_address == agent.address,
        sessions.c.intended_at >= defined_at,
        sessions.c.fit_until > at,
        sessions.c.room_expires_at >= needed_until,
        sessions.c.ends_at >= needed_until,
        usable,
    )


def list_kept(connection: Connection, pool: str) -> list[Session]:
    """The sessions that a pool started and that still concern it: not torn down, or with a run. Oldest first."""
    query = select(sessions).where(sessions.c.pool == pool, literal_column(POOL_LEFT))
    return [session_of(row) for row in connection.execute(query.order_by(sessions.c.intended_at))]


def count_alive(connection: Connection, pool: str, *, now: datetime) -> int:
    """How many sessions that a pool started count against its `max_alive`."""
    return count_held_by_pool(connection, pool, now=now)


def last_intent(connection: Connection, pool: str) -> datetime | None:
    """When a pool last began to start a session."""
    query = (
        select(sessions.c.intended_at).where(sessions.c.pool == pool).order_by(sessions.c.intended_at.desc()).limit(1)
    )
    return connection.execute(query).scalar_one_or_none()


def list_since(connection: Connection, pool: str, *, since: datetime, limit: int) -> list[Session]:
    """The newest sessions of a pool that may have lived since a moment, at most `limit` of them; oldest first."""
    begun = sessions.c.intended_at > since - LONGEST_LIFE
    query = select(sessions).where(sessions.c.pool == pool, begun, sessions.c.ends_at > since)
    rows = connection.execute(query.order_by(sessions.c.intended_at.desc()).limit(limit))
    return [session_of(row) for row in rows][::-1]
