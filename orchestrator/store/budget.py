"""How many sessions of a batch are held, asked before each start: exactly where it matters, cheaply where it cannot.

Counting all of them for each start would grow with the square of a batch. So the connection remembers a number that
cannot be too low: what was counted last, and one more for whatever may have added to it since. Only where that number
would refuse a start is counted again. It is forgotten with any transaction that is rolled back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, func, literal_column, not_, select

from orchestrator.domain.plan import AgentKind
from orchestrator.domain.session import SessionStatus, Teardown
from orchestrator.store.tables import MAY_HOLD, UtcTime, sessions

_AT_MOST: Final = "orchestrator_held_at_most"  # a key of `Connection.info`: how many, by batch
_RUNNER_LET_GO: Final = and_(
    sessions.c.agent_kind == AgentKind.PIPECAT_RUNNER.value, sessions.c.session_end == Teardown.BOUNDED.value
)
_HELD: Final = select(func.count()).where(
    sessions.c.batch_id == bindparam("of_batch"),
    literal_column(MAY_HOLD),  # as the index says it, so that SQLite takes the index
    sessions.c.ends_at > bindparam("now", type_=UtcTime),
    sessions.c.status != SessionStatus.REFUSED.value,
    sessions.c.status != SessionStatus.UNFOUND.value,
    not_(_RUNNER_LET_GO),
)


def count_held(connection: Connection, batch_id: str, *, now: datetime) -> int:
    """How many sessions of a batch count against its budget; the rule is `Session.holds_budget`."""
    return int(connection.execute(_HELD, {"of_batch": batch_id, "now": now}).scalar_one())


def has_room(connection: Connection, batch_id: str, *, now: datetime, most: int) -> bool:
    """Whether one more session of a batch may be held, where `most` may be."""
    at_most = _remembered(connection)
    if at_most.get(batch_id, most) >= most:
        at_most[batch_id] = count_held(connection, batch_id, now=now)
    return at_most[batch_id] < most


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
