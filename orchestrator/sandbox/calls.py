"""A run and its call, wherever it takes place: dispatched, talking, hung up, judged.

Status words and ended reasons are the documented ones; which reason goes with which status is not documented. In a room
of somebody else's a call is a `RoomCall`, in one of Cekura's own or on a telephone a `HostedCall`.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.sandbox.catalogue import Channel
from orchestrator.sandbox.clock import SandboxClock
from orchestrator.sandbox.daily import Daily
from orchestrator.sandbox.sessions import Sessions
from orchestrator.sandbox.settings import SandboxSettings

TERMINAL: Final = frozenset({"completed", "failed", "timeout", "cancelled"})
CRASH_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Telephone numbers of a voice run, empty elsewhere: Cekura's own, and the agent's."""

    own: str = ""
    agent: str = ""


@dataclass(slots=True, kw_only=True, eq=False)
class Run:
    """One scenario once; `status` speaks Cekura's words. Only a run of the manual flow has a room of somebody's."""

    id: int
    ordinal: int
    result_id: int
    agent: int
    scenario: int
    channel: Channel
    room_url: str | None
    token: str | None
    message: Any
    personality: int
    profile: int | None
    numbers: Numbers
    created_at: float
    status: str = "pending"
    success: bool = False
    error_message: str = ""
    ended_reason: str = ""
    executed_at: float | None = None
    tester_joined_at: float | None = None
    call_began_at: float | None = None
    call_ended_at: float | None = None
    judged_at: float | None = None
    end_asked: bool = False
    cut_short: bool = False
    holds_slot: bool = False
    call: Call | None = None
    cached: bytes | None = None

    @property
    def coming(self) -> bool:
        """Whether its call is still to begin or to end."""
        return self.status not in TERMINAL and self.status != "evaluating"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnd:
    """How a call ended."""

    status: str
    reason: str
    error: str = ""
    success: bool = False
    cut_short: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSurroundings:
    """What every call shares."""

    settings: SandboxSettings
    clock: SandboxClock
    daily: Daily
    sessions: Sessions
    changed: Callable[[Run], None]
    ended: Callable[[Run], None]
    judged: Callable[[Run], None]


COMPLETED: Final = CallEnd(status="completed", reason="Main agent-ended-call", success=True)
FAILED_EVALUATION: Final = CallEnd(status="completed", reason="Main agent-ended-call", success=False)
TIMED_OUT: Final = CallEnd(status="timeout", reason="exceeded-max-duration", error="The call exceeded its duration.")
CRASHED: Final = CallEnd(
    status="failed", reason="Testing agent-pipeline-error", error="The testing agent's pipeline failed."
)
CANCELLED: Final = CallEnd(status="cancelled", reason="run-cancelled-by-user")


class Call(ABC):
    """The tester of one run, from its dispatch to its verdict."""

    def __init__(self, *, run: Run, around: CallSurroundings, fate: str | None) -> None:
        self._run = run
        self._around = around
        self._clock = around.clock
        self._fate = fate
        self._over = False

    @abstractmethod
    def dispatch(self) -> None:
        """Send the tester on its way."""

    def hang_up(self, end: CallEnd) -> None:
        """End the call, once; an evaluated call is judged later, any other at once."""
        if self._over:
            return
        self._over = True
        self._run.call_ended_at = self._clock.now()
        self._run.cut_short = end.cut_short
        self._run.ended_reason = end.reason
        self._run.error_message = end.error
        self._leave()
        if end.status == "completed":
            self._become("evaluating")
            self._around.ended(self._run)
            self._clock.after(self._around.settings.evaluate_seconds, lambda: self._judge(end))
        else:
            self._around.ended(self._run)
            self._judge(end)

    @abstractmethod
    def _leave(self) -> None:
        """Give back whatever the call holds."""

    def _talk(self) -> None:
        """Let the call begin now, and end as its fate says."""
        self._run.call_began_at = self._clock.now()
        self._become("in_progress")
        self._clock.after(self._length(), lambda: self.hang_up(self._scripted_end()))
        if self._fate == "tester_crashes":
            self._clock.after(CRASH_SECONDS, lambda: self.hang_up(CRASHED))

    def _length(self) -> float:
        shortest, longest = self._around.settings.call_seconds
        if self._fate == "times_out":
            return longest
        return random.Random(f"{self._around.settings.seed}:call:{self._run.ordinal}").uniform(shortest, longest)

    def _scripted_end(self) -> CallEnd:
        if self._fate == "times_out":
            return TIMED_OUT
        return FAILED_EVALUATION if self._fate == "fails_evaluation" else COMPLETED

    def _judge(self, end: CallEnd) -> None:
        self._run.success = end.success
        self._run.judged_at = self._clock.now()
        self._become(end.status)
        self._around.judged(self._run)

    def _become(self, status: str) -> None:
        self._run.status = status
        self._around.changed(self._run)
