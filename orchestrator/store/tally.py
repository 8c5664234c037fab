"""Counts all rows that still matter, for gauges. What it reads is indexed: it grows with the work, not with history."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    union_all,
)

from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.plan import AgentKind
from orchestrator.domain.session import SessionStatus, Teardown
from orchestrator.domain.tally import PoolTally, SessionTally, Tally
from orchestrator.store.tables import IN_POOL, MAY_HOLD, UtcTime, batches, sessions

_NOW: Final = bindparam("now", type_=UtcTime)
_COLUMNS: Final = (
    *(sessions.c.agent_kind, sessions.c.agent_address, sessions.c.status, sessions.c.settled),
    *(sessions.c.session_end, sessions.c.room_end, sessions.c.ends_at),
)
# All that may matter, each once: what is not over by its bound, and what is and was not torn down (or its room not).
_MATTERS: Final = union_all(
    select(*_COLUMNS).where(
        sessions.c.settled.is_(false()),
        or_(sessions.c.ends_at <= _NOW, sessions.c.session_end == Teardown.CONFIRMED.value),
    ),
    select(*_COLUMNS).where(literal_column(MAY_HOLD), sessions.c.ends_at > _NOW),
).subquery("matters")
_M: Final = _MATTERS.c


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


_EXISTS: Final = _M.status != SessionStatus.REFUSED.value
_BOUNDED: Final = _M.session_end == Teardown.BOUNDED.value
_TO_COME: Final = _M.ends_at > _NOW
# The rule is `Session.holds_budget`.
_ALIVE: Final = and_(
    _EXISTS,
    _M.status != SessionStatus.UNFOUND.value,
    _M.session_end != Teardown.CONFIRMED.value,
    _TO_COME,
    not_(and_(_M.agent_kind == AgentKind.PIPECAT_RUNNER.value, _BOUNDED)),
)
_UNSETTLED: Final = and_(_EXISTS, _M.settled.is_(false()))
_SESSIONS: Final = (
    select(
        _M.agent_kind,
        _M.agent_address,
        _number(_ALIVE).label("alive"),
        _number(_UNSETTLED).label("unsettled"),
        _number(and_(_EXISTS, _BOUNDED, _M.settled.is_(true()), _TO_COME)).label("bounded"),
        _number(and_(_UNSETTLED, not_(_TO_COME))).label("left_over"),
    )
    .group_by(_M.agent_kind, _M.agent_address)
    .order_by(_M.agent_kind, _M.agent_address)
)
_POOLS: Final = (
    select(sessions.c.pool, func.count().label("warm"), _number(sessions.c.ready_at.is_not(None)).label("ready"))
    .where(literal_column(IN_POOL), sessions.c.settled.is_(false()))
    .group_by(sessions.c.pool)
    .order_by(sessions.c.pool)
)
_WAITS: Final = batches.c.owner.is_(None)
_BATCHES: Final = select(
    _number(_WAITS).label("waiting"),
    _number(not_(_WAITS)).label("driven"),
    func.min(case((_WAITS, batches.c.created_at)), type_=UtcTime).label("oldest"),
).where(batches.c.status == BatchStatus.OPEN.value)


def take_tally(connection: Connection, *, now: datetime) -> Tally:
    """Count sessions by agent, pools and open batches, all workers' together."""
    open_batches = connection.execute(_BATCHES).one()
    return Tally(
        at=now,
        sessions=tuple(_session_tally(row) for row in connection.execute(_SESSIONS, {"now": now})),
        pools=tuple(PoolTally(pool=row.pool, ready=row.ready, warm=row.warm) for row in connection.execute(_POOLS)),
        waiting=open_batches.waiting,
        driven=open_batches.driven,
        oldest_waiting=open_batches.oldest,
    )


def _session_tally(row: Any) -> SessionTally:
    return SessionTally(
        agent_kind=AgentKind(row.agent_kind),
        agent_address=row.agent_address,
        alive=row.alive,
        unsettled=row.unsettled,
        bounded=row.bounded,
        left=row.left_over,
    )
