"""How many sessions of a batch are held, asked before each start: exactly where it matters, cheaply where it cannot.

Counting all of them for each start would grow with the square of a batch. So the connection remembers a number that
cannot be too low: what was counted last, and one more for whatever may have added to it since. Only where that number
would refuse a start is counted again. It is forgotten with any transaction that is rolled back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, case, func, literal_column, not_, select

from orchestrator.domain.budget import NO_LIMITS, SharedLimits
from orchestrator.domain.plan import AgentKind
from orchestrator.domain.session import SessionStatus, Teardown
from orchestrator.store.locks import lock_budget, may_be_rerun
from orchestrator.store.tables import (
    AT_WORK,
    BEING_JUDGED,
    CARRIED,
    MAY_HOLD,
    OF_POOL,
    UtcTime,
    runs,
    sessions,
    submissions,
)

_AT_MOST: Final = "orchestrator_held_at_most"  # a key of `Connection.info`: how many, by batch
_RUNNER_LET_GO: Final = and_(
    sessions.c.agent_kind == AgentKind.PIPECAT_RUNNER.value, sessions.c.session_end == Teardown.BOUNDED.value
)
_ALL_HELD: Final = select(func.count()).where(
    literal_column(MAY_HOLD),  # as the index says it, so that SQLite takes the index
    sessions.c.ends_at > bindparam("now", type_=UtcTime),
    sessions.c.status != SessionStatus.REFUSED.value,
    sessions.c.status != SessionStatus.UNFOUND.value,
    not_(_RUNNER_LET_GO),
)
_HELD: Final = _ALL_HELD.where(sessions.c.batch_id == bindparam("of_batch"))
_HELD_BY_POOL: Final = _ALL_HELD.where(sessions.c.pool == bindparam("of_pool"), literal_column(OF_POOL))
_LEFT: Final = (
    select(runs.c.submission_id, func.count().label("runs"))
    .where(literal_column(CARRIED))
    .group_by(runs.c.submission_id)
    .subquery()
)
_HELD_CALLS: Final = case((submissions.c.calls < _LEFT.c.runs, submissions.c.calls), else_=_LEFT.c.runs)
_AUTOMATED: Final = select(func.coalesce(func.sum(_HELD_CALLS), 0)).select_from(
    _LEFT.join(submissions, submissions.c.submission_id == _LEFT.c.submission_id)
)


def count_held(connection: Connection, batch_id: str, *, now: datetime) -> int:
    """How many sessions of a batch count against its budget; the rule is `Session.holds_budget`."""
    return int(connection.execute(_HELD, {"of_batch": batch_id, "now": now}).scalar_one())


def count_held_by_pool(connection: Connection, pool: str, *, now: datetime) -> int:
    """How many sessions that a pool started are alive, or may be, given to runs or not; the same rule."""
    return int(connection.execute(_HELD_BY_POOL, {"of_pool": pool, "now": now}).scalar_one())


def has_room(connection: Connection, batch_id: str, *, now: datetime, most: int) -> bool:
    """Whether one more session of a batch may be held, where `most` may be."""
    if may_be_rerun(connection):
        return count_held(connection, batch_id, now=now) < most  # other workers may have added to it
    at_most = _remembered(connection)
    if at_most.get(batch_id, most) >= most:
        at_most[batch_id] = count_held(connection, batch_id, now=now)
    return at_most[batch_id] < most


def has_shared_room(connection: Connection, *, now: datetime, limits: SharedLimits, soon: int = 0) -> bool:
    """Whether one more session may be started, whatever its batch; counted by one worker at a time.

    A session of a run is on its way to a call. `soon`: how many calls will have ended by the time its bot is ready.
    """
    if limits == NO_LIMITS:
        return True
    lock_budget(connection)
    if limits.sessions is not None and count_all_held(connection, now=now) >= limits.sessions:
        return False
    if limits.calls is None:
        return True
    return count_towards_call(connection) + count_automated_calls(connection) < limits.calls + soon


def shared_calls_left(connection: Connection, *, limits: SharedLimits, until_judged: bool) -> int | None:
    """How many more calls may be handed to Cekura now, on whichever channel; None where there is no limit.

    A room counts from the intent to submit it until its call is over, or judged where an evaluation holds the slot.
    """
    if limits.calls is None:
        return None
    lock_budget(connection)
    on_call = select(func.count()).where(literal_column(AT_WORK), sessions.c.submission_id.is_not(None))
    taken = connection.execute(on_call).scalar_one() + count_automated_calls(connection)
    if until_judged:
        judging = select(func.count()).select_from(runs).where(literal_column(BEING_JUDGED))
        taken += connection.execute(judging).scalar_one()
    return max(0, limits.calls - int(taken))


def count_all_held(connection: Connection, *, now: datetime) -> int:
    """How many sessions of all batches and pools count against what the provider allows."""
    return int(connection.execute(_ALL_HELD, {"now": now}).scalar_one())


def count_towards_call(connection: Connection) -> int:
    """How many sessions of runs are on their way to a call, or in it."""
    query = select(func.count()).where(literal_column(AT_WORK), sessions.c.run_id.is_not(None))
    return int(connection.execute(query).scalar_one())


def count_automated_calls(connection: Connection) -> int:
    """How many calls the submissions of automated channels hold: each as many as it may, or has runs left.

    They count from the intent: until its answer is known, a submission may be calling.
    """
    return int(connection.execute(_AUTOMATED).scalar_one())


def note_one_more(connection: Connection, batch_id: str) -> None:
    """Say that this unit adds a session to those held, or may do so."""
    at_most = _remembered(connection)
    if batch_id in at_most:
        at_most[batch_id] += 1


def forget_held(connection: Connection) -> None:
    """What was counted inside a transaction that is rolled back was never so."""
    connection.info.pop(_AT_MOST, None)


def _remembered(connection: Connection) -> dict[str, int]:
    remembered: Any = connection.info.setdefault(_AT_MOST, {})
    found: dict[str, int] = remembered
    return found
