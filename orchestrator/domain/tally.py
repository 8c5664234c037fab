"""What one look over all rows counts: how sessions, batches and pools stand, for whoever watches the whole service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain.plan import AgentKind


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTally:
    """The sessions of one agent; one session may count in several numbers.

    `alive` count against the session budget. `unsettled` are not torn down yet. `bounded` are ended by something else,
    at a time to come. `left` are not torn down although what should have ended them by itself is past.
    """

    agent_kind: AgentKind
    agent_address: str
    alive: int = 0
    unsettled: int = 0
    bounded: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTally:
    """The sessions that wait in one pool: how many are `ready` for a run, of how many `warm` in all."""

    pool: str
    ready: int
    warm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """One look. `waiting` and `driven`: open batches without and with an owner; `oldest_waiting` was created first."""

    at: datetime
    sessions: tuple[SessionTally, ...] = ()
    pools: tuple[PoolTally, ...] = ()
    waiting: int = 0
    driven: int = 0
    oldest_waiting: datetime | None = None
