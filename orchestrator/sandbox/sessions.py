"""Sessions as Pipecat Cloud and a self-managed runner have them, and the simulated bots inside.

A session bills from its start until it ends. What ends one: the stop call, its bot's idle timeout, the longest session,
or a bot that finishes. Losing its room or being ejected does not: the bot sits there until its idle timeout.
"""

from __future__ import annotations

import math
import random
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.sandbox.clock import SandboxClock, iso
from orchestrator.sandbox.faults import Faults
from orchestrator.sandbox.rooms import Cause, JoinRefused, Participant, Room, RoomEvent
from orchestrator.sandbox.settings import SandboxSettings

SLOW_JOIN_SECONDS: Final = 45.0
LEAVES_EARLY_SECONDS: Final = 5.0
AFTER_CALL_SECONDS: Final = 1.0


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """One Pipecat session; `ended_at` is None while it lives (and bills)."""

    agent: str
    kind: str
    created_at: float
    room: Room | None
    token: str | None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    bot_joined_at: float | None = None
    ended_at: float | None = None
    end_state: str = "active"
    completion_status: str | None = None
    in_call_since: float | None = None
    in_call_seconds: float = 0.0
    bot: SimulatedBot | None = None
    participant_id: str | None = None

    def meetings(self) -> list[dict[str, Any]]:
        """`meetingIds` of its record: who it was at Daily."""
        if self.participant_id is None or self.room is None:
            return []
        return [{"participantId": self.participant_id, "meetingId": self.room.meeting_session_id}]

    @property
    def alive(self) -> bool:
        """Whether it lives and bills."""
        return self.ended_at is None

    def lived(self, now: float) -> float:
        """Real seconds from its start to its end, or to now."""
        return (self.ended_at or now) - self.created_at

    def idled(self, now: float) -> float:
        """Real seconds it lived outside a call."""
        calling = self.in_call_seconds + (now - self.in_call_since if self.in_call_since is not None else 0.0)
        return max(0.0, self.lived(now) - calling)

    def document(self) -> dict[str, Any]:
        """The record as GET and list show it."""
        started = None if self.bot_joined_at is None else round(self.bot_joined_at - self.created_at, 3)
        return {
            "sessionId": self.id,
            "serviceId": f"service-{self.agent}",
            "organizationId": "org-sandbox",
            "deploymentId": f"deployment-{self.agent}",
            "createdAt": iso(self.created_at),
            "updatedAt": iso(self.ended_at or self.bot_joined_at or self.created_at),
            "endedAt": iso(self.ended_at) if self.ended_at else None,
            "botStartSeconds": started,
            "coldStart": False if started is not None else None,
            "completionStatus": self.completion_status,
            "endState": self.end_state,
        }


class Sessions:
    """Every session of the sandbox, and the bots it plays."""

    def __init__(self, *, settings: SandboxSettings, clock: SandboxClock, faults: Faults) -> None:
        self.settings = settings
        self.clock = clock
        self.faults = faults
        self.all: dict[str, Session] = {}
        self.alive: dict[str, Session] = {}
        self.by_room: dict[str, Session] = {}
        self.peak_alive = 0
        self._active: Counter[str] = Counter()
        self._random = random.Random(f"{settings.seed}:bots")

    def start(self, *, agent: str, kind: str, room: Room | None, token: str | None) -> Session:
        """A new session, and its bot on the way to the room."""
        session = Session(agent=agent, kind=kind, created_at=self.clock.now(), room=room, token=token)
        self.all[session.id] = self.alive[session.id] = session
        self.peak_alive = max(self.peak_alive, len(self.alive))
        self._active[f"{kind}:{agent}"] += 1
        if room is not None:
            self.by_room[room.url] = session
        self.clock.after(self.settings.max_session_seconds, lambda: self._time_out(session))
        if self.settings.bots == "simulated":
            session.bot = SimulatedBot(session=session, sessions=self, fate=self.faults.take("bot"))
            session.bot.set_out(self._join_delay())
        return session

    def of_agent(self, agent: str) -> list[Session]:
        """Pipecat Cloud's sessions of one agent, newest first."""
        return [
            session for session in reversed(self.all.values()) if session.agent == agent and session.kind == "cloud"
        ]

    def cloud_agents(self) -> list[str]:
        """The agents of Pipecat Cloud that were ever started, by name."""
        return sorted({session.agent for session in self.all.values() if session.kind == "cloud"})

    def active_count(self, agent: str) -> int:
        """How many of an agent's instances are taken."""
        return self._active[f"cloud:{agent}"]

    def end(self, session: Session, *, state: str, code: str, cause: Cause = Cause.STOPPED) -> None:
        """End a session, however it comes to its end; its bot leaves the room, the room stays."""
        if not session.alive:
            return
        session.ended_at = self.clock.now()
        session.end_state = state
        session.completion_status = code
        self.note_call_end(session)
        del self.alive[session.id]
        self._active[f"{session.kind}:{session.agent}"] -= 1
        if session.bot is not None:
            session.bot.depart(cause)
        elif session.kind == "cloud" and session.room is not None:
            # The instance is gone, and with it whatever attended the room from inside.
            for participant in session.room.agents():
                session.room.eject(participant, cause)

    def note_attendance(self, participant: Participant) -> None:
        """A real process came to a room: if the room is a session's, its bot has started."""
        session = self.by_room.get(participant.room.url)
        if session is not None and session.bot_joined_at is None:
            session.bot_joined_at = self.clock.now()
            session.participant_id = participant.id

    def note_call_begin(self, session: Session) -> None:
        """A tester and the bot met: from here the session earns its money."""
        session.in_call_since = self.clock.now()
        if session.bot is not None:
            session.bot.meet_tester()

    def note_call_end(self, session: Session) -> None:
        """The call is over; the session idles from here."""
        if session.in_call_since is not None:
            session.in_call_seconds += self.clock.now() - session.in_call_since
            session.in_call_since = None

    def _time_out(self, session: Session) -> None:
        self.end(session, state="terminated", code="500", cause=Cause.TIME_LIMIT)

    def _join_delay(self) -> float:
        lowest, highest = self.settings.join_seconds
        spread = highest - lowest
        return min(highest, lowest + spread * 0.2 * math.exp(self._random.gauss(0.0, 0.7)))


class SimulatedBot:
    """A bot that joins after a while, waits for somebody, and stays until something makes it go."""

    def __init__(self, *, session: Session, sessions: Sessions, fate: str | None) -> None:
        self._session = session
        self._sessions = sessions
        self._clock = sessions.clock
        self._settings = sessions.settings
        self._fate = fate
        self._participant: Participant | None = None
        self._alone_since = self._clock.now()

    def set_out(self, delay: float) -> None:
        """Be in the room `delay` seconds from now, unless its fate is another."""
        self._watch_idleness()
        if self._fate == "slow_join":
            delay += SLOW_JOIN_SECONDS
        if self._fate != "never_joins":
            self._clock.after(delay, self._join)

    def meet_tester(self) -> None:
        """A call begins."""
        if self._fate == "leaves_early":
            self._clock.after(LEAVES_EARLY_SECONDS, self._finish)

    def depart(self, cause: Cause) -> None:
        """Leave the room because the session ended."""
        stays = self._fate == "stays_after_stop" and cause is Cause.STOPPED
        if self._participant is not None and not stays:
            self._participant.room.leave(self._participant, cause)

    def _join(self) -> None:
        room = self._session.room
        if not self._session.alive or room is None:
            return
        self._alone_since = self._clock.now()
        try:
            self._participant = room.join(
                token=self._session.token,
                listener=self._hear,
                user_name="Pipecat Bot",
                carries_user_id=self._settings.carries_mark,
            )
        except JoinRefused:
            return  # a failed join leaves the pipeline running until its idle timeout (DailyTransport)
        self._session.bot_joined_at = self._clock.now()
        self._session.participant_id = self._participant.id

    def _hear(self, event: RoomEvent) -> None:
        if event.name in {"participant-joined", "participant-left", "app-message"}:
            self._alone_since = self._clock.now()
        tester_left = event.name == "participant-left" and event.participant is not None and event.participant.is_tester
        if tester_left and self._settings.bot_ends_with_call:
            self._clock.after(AFTER_CALL_SECONDS, self._finish)

    def _finish(self) -> None:
        self._sessions.end(self._session, state="completed", code="HTTP_COMPLETED", cause=Cause.LEFT)

    def _watch_idleness(self) -> None:
        limit = self._clock.scaled(self._settings.idle_timeout)
        quiet = 0.0 if self._has_company() else self._clock.now() - self._alone_since
        if not self._session.alive:
            return
        if quiet >= limit - 0.001:
            self._finish()
        else:
            self._clock.at(self._clock.now() + limit - quiet, self._watch_idleness)

    def _has_company(self) -> bool:
        me = self._participant
        return me is not None and me.present and len(me.room.present()) > 1


def matching(sessions: list[Session], query: Mapping[str, str]) -> list[Session]:
    """The sessions that a list request's filters let through (Pipecat Cloud, list sessions)."""
    checks: list[Callable[[Session], bool]] = []
    if query.get("status", "all") != "all":
        checks.append(lambda session: session.alive == (query["status"] == "active"))
    if query.get("endState"):
        checks.append(lambda session: session.end_state == query["endState"])
    if query.get("startTime"):
        checks.append(lambda session: session.created_at >= float(query["startTime"]))
    if query.get("endTime"):
        checks.append(lambda session: session.created_at <= float(query["endTime"]))
    return [session for session in sessions if all(check(session) for check in checks)]
