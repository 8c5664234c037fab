"""One call of Cekura's tester: it comes to the room, waits for an agent, talks, hangs up, and is judged.

Status words and ended reasons are the documented ones; which reason goes with which status is not documented.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.sandbox.clock import SandboxClock
from orchestrator.sandbox.daily import Daily
from orchestrator.sandbox.rooms import Cause, JoinRefused, Participant, RoomEvent
from orchestrator.sandbox.sessions import Session, Sessions
from orchestrator.sandbox.settings import SandboxSettings

TERMINAL: Final = frozenset({"completed", "failed", "timeout", "cancelled"})
# What a caller's own teardown looks like from inside a call.
TEARDOWN: Final = frozenset({Cause.STOPPED, Cause.EJECTED, Cause.DELETED, Cause.EXPIRED})
CRASH_SECONDS: Final = 5.0


@dataclass(slots=True, kw_only=True, eq=False)
class Run:
    """One scenario in one room; `status` speaks Cekura's words."""

    id: int
    ordinal: int
    result_id: int
    agent: int
    scenario: int
    room_url: str
    token: str | None
    message: Any
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
NEVER_CONNECTED: Final = CallEnd(
    status="failed", reason="Testing agent-did-not-connect", error="The testing agent could not join the room."
)
NOBODY_THERE: Final = CallEnd(
    status="failed", reason="Main agent-did-not-answer", error="The main agent did not join within the timeout period."
)
CANCELLED: Final = CallEnd(status="cancelled", reason="run-cancelled-by-user")


class Call:
    """The tester of one run, from its dispatch to its verdict."""

    def __init__(self, *, run: Run, around: CallSurroundings, fate: str | None) -> None:
        self._run = run
        self._around = around
        self._clock = around.clock
        self._fate = fate
        self._participant: Participant | None = None
        self._session: Session | None = None
        self._over = False

    def dispatch(self) -> None:
        """Send the tester to the room."""
        self._run.executed_at = self._clock.now()
        self._become("running")
        self._clock.after(self._around.settings.dispatch_seconds, self._arrive)

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

    def _arrive(self) -> None:
        if self._over:
            return
        found = self._around.daily.room_at(self._run.room_url)
        if found is None or self._fate == "never_connects":
            self.hang_up(NEVER_CONNECTED)
            return
        _, room = found
        try:
            self._participant = room.join(
                token=self._run.token,
                listener=self._hear,
                user_name="Cekura",
                is_tester=True,
                carries_user_id=self._around.settings.carries_mark,
            )
        except JoinRefused:
            self.hang_up(NEVER_CONNECTED)
            return
        self._run.tester_joined_at = self._clock.now()
        if room.agents():
            self._begin()
        else:
            self._clock.after(self._around.settings.connect_timeout, self._give_up)

    def _give_up(self) -> None:
        if self._run.call_began_at is None:
            self.hang_up(NOBODY_THERE)

    def _begin(self) -> None:
        run = self._run
        run.call_began_at = self._clock.now()
        self._become("in_progress")
        if self._participant is not None and run.message is not None:
            self._participant.room.send(run.message, sender=self._participant)
        self._session = self._around.sessions.by_room.get(run.room_url)
        if self._session is not None:
            self._around.sessions.note_call_begin(self._session)
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

    def _hear(self, event: RoomEvent) -> None:
        if event.name == "participant-joined":
            # The newcomer is in the room only once everybody has been told.
            self._clock.after(0.0, self._begin_if_waiting)
        elif event.name in {"ejected", "room-deleted"} or (
            event.name == "participant-left" and self._talks_to_nobody()
        ):
            self._lose(event.cause)

    def _talks_to_nobody(self) -> bool:
        talking = self._participant is not None and self._run.call_began_at is not None
        return talking and self._participant is not None and not self._participant.room.agents()

    def _begin_if_waiting(self) -> None:
        waiting = not self._over and self._run.call_began_at is None
        if waiting and self._participant is not None and self._participant.room.agents():
            self._begin()

    def _lose(self, cause: Cause | None) -> None:
        talking = self._run.call_began_at is not None
        self.hang_up(
            CallEnd(
                status="failed",
                reason="participant_disconnected" if talking else "Main agent-call-not-connected",
                error=f"The call was lost: {cause}.",
                cut_short=talking and cause in TEARDOWN and not self._run.end_asked,
            )
        )

    def _leave(self) -> None:
        if self._session is not None:
            self._around.sessions.note_call_end(self._session)
        if self._participant is not None:
            self._participant.room.leave(self._participant)

    def _judge(self, end: CallEnd) -> None:
        self._run.success = end.success
        self._run.judged_at = self._clock.now()
        self._become(end.status)
        self._around.judged(self._run)

    def _become(self, status: str) -> None:
        self._run.status = status
        self._around.changed(self._run)
