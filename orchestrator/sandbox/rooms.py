"""Rooms and who is in them. Presence exists only while something attends; a room's end puts everybody out.

A participant is told what happens through its listener: `participant-joined`, `participant-left`, `app-message`,
`ejected`, `room-deleted`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from orchestrator.sandbox.clock import SandboxClock, iso
from orchestrator.sandbox.tokens import BadToken, read_token


class Cause(StrEnum):
    """Why a participant is no longer in a room."""

    LEFT = "left"
    STOPPED = "session stopped"
    TIME_LIMIT = "session reached its time limit"
    EJECTED = "ejected"
    DELETED = "room deleted"
    EXPIRED = "room expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomEvent:
    """What a participant is told."""

    name: str
    participant: Participant | None = None
    cause: Cause | None = None
    data: Any = None


Listener = Callable[[RoomEvent], None]


class JoinRefused(Exception):
    """Daily does not let this participant in; the message says why."""


@dataclass(slots=True, kw_only=True, eq=False)
class Participant:
    """Somebody in a room, or who was there until `left_at` (Unix seconds)."""

    room: Room
    user_id: str
    user_name: str
    joined_at: float
    listener: Listener
    is_tester: bool = False
    keeps_own_time: bool = False
    came_back: bool = False
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    left_at: float | None = None

    @property
    def present(self) -> bool:
        """Whether it is in the room now."""
        return self.left_at is None

    def presence_entry(self, now: float) -> dict[str, Any]:
        """The entry of Daily's presence answers."""
        return {
            "room": self.room.name,
            "id": self.id,
            "userId": self.user_id,
            "userName": self.user_name,
            "mtgSessionId": self.room.meeting_session_id,
            "joinTime": iso(self.joined_at),
            "duration": int(now - self.joined_at),
        }


@dataclass(slots=True, kw_only=True, eq=False)
class Room:
    """One Daily room. It lives until it is deleted or its `exp` has passed (an expired room counts as deleted)."""

    domain: str
    key: str
    name: str
    url: str
    clock: SandboxClock
    why: str
    privacy: str = "public"
    config: dict[str, Any] = field(default_factory=dict)
    created_at: float = 0.0
    ended: Cause | None = None
    ended_at: float | None = None
    participants: list[Participant] = field(default_factory=list)
    ejected_users: set[str] = field(default_factory=set)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    meeting_session_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def alive(self) -> bool:
        """Whether the API still knows the room and lets people in."""
        return self.ended is None

    def document(self) -> dict[str, Any]:
        """The room object of the API."""
        return {
            "id": self.id,
            "name": self.name,
            "api_created": True,
            "privacy": self.privacy,
            "url": self.url,
            "created_at": iso(self.created_at),
            "config": self.config,
        }

    def present(self) -> list[Participant]:
        """Who is in the room now."""
        return [participant for participant in self.participants if participant.present]

    def agents(self) -> list[Participant]:
        """Who is in the room now and is not a tester of Cekura's."""
        return [participant for participant in self.participants if participant.present and not participant.is_tester]

    def present_at(self, moment: float) -> list[Participant]:
        """Who was in the room at a past Unix time."""
        return [
            participant
            for participant in self.participants
            if participant.joined_at <= moment and (participant.left_at is None or participant.left_at > moment)
        ]

    def join(
        self,
        *,
        token: str | None,
        listener: Listener,
        user_name: str = "",
        is_tester: bool = False,
        carries_user_id: bool = True,
    ) -> Participant:
        """Let somebody in; JoinRefused where the room is gone, full or private, or the token is not good for it."""
        properties = self._admit(token)
        user_id = str(properties.get("user_id") or "") if carries_user_id else ""
        participant = Participant(
            room=self,
            user_id=user_id or str(uuid.uuid4()),
            user_name=user_name or str(properties.get("user_name") or ""),
            joined_at=self.clock.now(),
            listener=listener,
            is_tester=is_tester,
            keeps_own_time=bool(properties.get("eject_at_token_exp") or properties.get("eject_after_elapsed")),
        )
        known = bool({participant.user_id, participant.user_name} & self.ejected_users)
        participant.came_back = known and not is_tester
        self._tell_others(participant, RoomEvent(name="participant-joined", participant=participant))
        self.participants.append(participant)
        self._keep_own_time(participant, properties)
        return participant

    def leave(self, participant: Participant, cause: Cause = Cause.LEFT) -> None:
        """Somebody goes; the others are told why."""
        if participant.present:
            participant.left_at = self.clock.now()
            self._tell_others(participant, RoomEvent(name="participant-left", participant=participant, cause=cause))

    def eject(self, participant: Participant, cause: Cause = Cause.EJECTED) -> None:
        """Somebody is put out, and told so."""
        if participant.present:
            self.ejected_users |= {participant.user_id, participant.user_name} - {""}
            self.leave(participant, cause)
            participant.listener(RoomEvent(name="ejected", participant=participant, cause=cause))

    def delete(self) -> None:
        """End the room and put everybody out. No page says that a deletion does; a room without people is the
        reading that forgives a caller least.
        """
        self.ended = Cause.DELETED
        self.ended_at = self.clock.now()
        for participant in self.present():
            self.leave(participant, Cause.DELETED)
            participant.listener(RoomEvent(name="room-deleted", participant=participant, cause=Cause.DELETED))

    def send(self, data: Any, *, sender: Participant) -> None:
        """Publish an app message to the others."""
        self._tell_others(sender, RoomEvent(name="app-message", participant=sender, data=data))

    def watch_expiry(self) -> None:
        """Let the room end at its `exp`; to be called again whenever `exp` changed."""
        expiry = self.config.get("exp")
        if expiry is not None:
            self.clock.at(float(expiry), self._expire)

    def _expire(self) -> None:
        expiry = self.config.get("exp")
        if not self.alive or expiry is None or self.clock.now() < float(expiry) - 0.001:
            return
        self.ended = Cause.EXPIRED
        self.ended_at = self.clock.now()
        if self.config.get("eject_at_room_exp"):
            for participant in self.present():
                if not participant.keeps_own_time:
                    self.eject(participant, Cause.EXPIRED)

    def _admit(self, token: str | None) -> dict[str, Any]:
        now = self.clock.now()
        if not self.alive:
            raise JoinRefused(f"the room is gone ({self.ended})")
        if now < float(self.config.get("nbf") or 0):
            raise JoinRefused("the room does not open yet")
        if len(self.present()) >= int(self.config.get("max_participants") or 200):
            raise JoinRefused("the room is full")
        if token is None:
            if self.privacy != "public":
                raise JoinRefused("a private room needs a token")
            return {}
        return self._admit_token(token, now)

    def _admit_token(self, token: str, now: float) -> dict[str, Any]:
        try:
            properties = read_token(token, key=self.key, domain=self.domain)
        except BadToken as error:
            raise JoinRefused(str(error)) from error
        if properties.get("room_name") not in {None, self.name}:
            raise JoinRefused("the token is another room's")
        if now >= float(properties.get("exp") or now + 1):
            raise JoinRefused("the token has expired")
        if now < float(properties.get("nbf") or 0):
            raise JoinRefused("the token is not valid yet")
        return properties

    def _keep_own_time(self, participant: Participant, properties: Mapping[str, Any]) -> None:
        # Either token property switches the room's own ejection off for this participant (Daily, meeting tokens).
        if properties.get("eject_at_token_exp") and properties.get("exp"):
            self.clock.at(float(properties["exp"]), lambda: self.eject(participant))
        if properties.get("eject_after_elapsed"):
            self.clock.at(
                participant.joined_at + float(properties["eject_after_elapsed"]), lambda: self.eject(participant)
            )

    def _tell_others(self, participant: Participant, event: RoomEvent) -> None:
        for other in self.present():
            if other is not participant:
                other.listener(event)
