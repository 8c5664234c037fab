"""One Pipecat session and its room: what we know of it, what will end it, and how its teardown stands.

The `nonce` is both the row's identity and the mark we hand to the remote. A row exists before the start call is made,
so that whatever a lost answer left behind has a name and a bound here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from orchestrator.domain.plan import AgentKind, Evidence
from orchestrator.domain.secret import MeetingToken


class SessionStatus(StrEnum):
    """What the start call is known to have done."""

    INTENT = "intent"  # committed, the call not yet made
    SENT = "sent"  # the call is being made, or we died making it
    ALIVE = "alive"  # answered (or found by its mark): the session exists
    LOST = "lost"  # the answer was lost: it may exist
    UNFOUND = "unfound"  # lost, and looked for: every live session of the agent was another's
    REFUSED = "refused"  # the remote certainly did nothing


class Teardown(StrEnum):
    """How the end of a session or a room stands."""

    OPEN = "open"  # not torn down yet
    CONFIRMED = "confirmed"  # seen to be gone
    BOUNDED = "bounded"  # not confirmed; something else ends it, at a known time
    UNKNOWN = "unknown"  # neither


SETTLED: Final = frozenset({Teardown.CONFIRMED, Teardown.BOUNDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How one thing ended or will end: `how` in words, `at` when it was confirmed or will be over."""

    state: Teardown = Teardown.OPEN
    how: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One attempt of one run, or a warm session of a pool. `ends_by`/`ends_at`: what ends it by itself, and when.

    `batch_id` and `run_id` are empty while it belongs to no run. `pool` names the pool that started it, also after a
    run took it (at `taken_at`); until `fit_until` it may be given to one, and `checked_at` is when it was last seen
    alive.

    `condemned_at` is set once and for all; teardown may begin at `teardown_from`. `room_seen_by` is the fingerprint of
    the Daily key that was shown the room while it lived: only that key's 404 means that it is gone.
    """

    nonce: str
    batch_id: str
    run_id: str
    attempt: int
    agent_kind: AgentKind
    agent_address: str
    status: SessionStatus
    intended_at: datetime
    ends_by: str
    ends_at: datetime
    room_expires_at: datetime
    sent_at: datetime | None = None
    answered_at: datetime | None = None
    session_id: str | None = None
    room_url: str | None = None
    meeting_token: MeetingToken | None = None
    ready_at: datetime | None = None
    evidence: Evidence | None = None
    seen_in_room_at: datetime | None = None
    submission_id: str | None = None
    cekura_run_id: int | None = None
    condemned_at: datetime | None = None
    condemned_for: str = ""
    teardown_from: datetime | None = None
    session_end: End = End()
    room_end: End = End()
    room_seen_by: str | None = None
    note: str = ""
    pool: str | None = None
    fit_until: datetime | None = None
    checked_at: datetime | None = None
    taken_at: datetime | None = None

    @property
    def waits_in_pool(self) -> bool:
        """True while it is a pool's, good or on its way to be, and no run has it."""
        return self.pool is not None and not self.run_id and self.exists and self.condemned_at is None

    @property
    def exists(self) -> bool:
        """True unless the remote certainly started nothing."""
        return self.status is not SessionStatus.REFUSED

    @property
    def torn_down(self) -> bool:
        """True when both session and room are confirmed gone or bounded and named."""
        return not self.exists or (self.session_end.state in SETTLED and self.room_end.state in SETTLED)

    @property
    def given_at(self) -> datetime:
        """When its run was given it: when its start was intended, or when it was taken out of a pool."""
        return self.taken_at or self.intended_at

    def holds_budget(self, now: datetime) -> bool:
        """True while the session counts against the session budget: until its end is confirmed or its bound passed.

        A runner can neither be asked nor told to stop, and bills nobody per session: there, the bound is what we have.
        """
        if not self.exists or self.session_end.state is Teardown.CONFIRMED or now >= self.ends_at:
            return False
        if self.status is SessionStatus.UNFOUND:
            return False  # it may land yet, which is why it is bounded; nothing of it takes a place now
        return not (self.agent_kind is AgentKind.PIPECAT_RUNNER and self.session_end.state is Teardown.BOUNDED)


def first_start(sessions: Iterable[Session]) -> datetime | None:
    """When the first of these was begun for a run, or given to one; None where there is none. Ramps count from it."""
    return min((session.given_at for session in sessions), default=None)
