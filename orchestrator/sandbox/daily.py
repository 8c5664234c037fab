"""Daily as the sandbox plays it: two domains, each with its own key, its rooms and what is known of their presence.

Facts from docs.daily.co: rooms of another domain do not exist for a key, expired rooms count as deleted, the domain's
presence is up to 15 s stale, `GET /rooms` pages by room id.
"""

from __future__ import annotations

import math
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.sandbox.clock import SandboxClock
from orchestrator.sandbox.rooms import Cause, Participant, Room
from orchestrator.sandbox.settings import (
    CLOUD_DAILY_KEY,
    CLOUD_DOMAIN,
    DAILY_KEY,
    USER_DOMAIN,
    SandboxSettings,
)
from orchestrator.sandbox.tokens import sign_token

NAME_LETTERS: Final = string.ascii_letters + string.digits
NAME_LIMIT: Final = 128


@dataclass(slots=True, kw_only=True, eq=False)
class Domain:
    """One Daily domain: a key, and the rooms that only this key reaches."""

    name: str
    key: str
    clock: SandboxClock
    port: int = 0
    rooms: dict[str, Room] = field(default_factory=dict)
    gone: dict[str, Room] = field(default_factory=dict)
    created: int = 0
    deleted: int = 0

    def find(self, name: str) -> Room | None:
        """The living room of that name."""
        room = self.rooms.get(name)
        return room if room is not None and self._still_there(room) else None

    def living(self) -> list[Room]:
        """The living rooms, oldest first."""
        return [room for room in list(self.rooms.values()) if self._still_there(room)]

    def expired(self, name: str) -> bool:
        """Whether a room of that name has expired and is not collected yet."""
        self.find(name)
        return name in self.gone and self.gone[name].ended is Cause.EXPIRED

    @property
    def expired_count(self) -> int:
        """Rooms that ended by their `exp`."""
        self.living()
        return sum(room.ended is Cause.EXPIRED for room in self.gone.values())

    def create(self, *, name: str | None, privacy: str, properties: Mapping[str, Any], why: str) -> Room:
        """A new room; the caller has checked the name and the properties."""
        name = name or "".join(secrets.choice(NAME_LETTERS) for _ in range(20))
        room = Room(
            domain=self.name,
            key=self.key,
            name=name,
            url=f"http://{self.name}.localhost:{self.port}/{name}",
            clock=self.clock,
            why=why,
            privacy=privacy,
            config=dict(properties),
            created_at=self.clock.now(),
        )
        self.rooms[name] = room
        self.gone.pop(name, None)
        self.created += 1
        room.watch_expiry()
        return room

    def delete(self, room: Room) -> None:
        """End a room for good."""
        room.delete()
        self.deleted += 1
        self.gone[room.name] = self.rooms.pop(room.name)

    def sign(self, properties: Mapping[str, Any]) -> str:
        """A meeting token of this domain."""
        return sign_token(properties, key=self.key, domain=self.name, now=self.clock.now())

    def presence_of(self, room: Room, *, lag: float) -> list[Participant]:
        """Who is in a room, as stale as Daily may be."""
        return room.present_at(self._moment(lag))

    def presence(self, *, lag: float) -> dict[str, list[Participant]]:
        """Who is in which room of the domain, as stale as Daily may be; empty rooms are left out."""
        moment = self._moment(lag)
        everywhere = {name: room.present_at(moment) for name, room in self.rooms.items()}
        return {name: participants for name, participants in everywhere.items() if participants}

    def _moment(self, lag: float) -> float:
        # Snapshots are taken on a fixed grid, so an answer is anything from fresh to `lag` old.
        step = self.clock.scaled(lag)
        return math.floor(self.clock.now() / step) * step if step > 0 else self.clock.now()

    def _still_there(self, room: Room) -> bool:
        if room.alive:
            return True
        if room.name in self.rooms and self.rooms[room.name] is room:
            self.gone[room.name] = self.rooms.pop(room.name)
        return False


class Daily:
    """Both domains: the user's own, and the one Pipecat Cloud makes its rooms in."""

    def __init__(self, *, settings: SandboxSettings, clock: SandboxClock) -> None:
        self.settings = settings
        self.user = Domain(name=USER_DOMAIN, key=DAILY_KEY, clock=clock)
        self.cloud = Domain(name=CLOUD_DOMAIN, key=CLOUD_DAILY_KEY, clock=clock)
        self.domains = (self.user, self.cloud)

    def bind(self, port: int) -> None:
        """Tell the domains the port that their room URLs name."""
        for domain in self.domains:
            domain.port = port

    def domain_of_key(self, key: str) -> Domain | None:
        """The domain a key speaks for."""
        return next((domain for domain in self.domains if domain.key == key), None)

    def room_at(self, url: str) -> tuple[Domain, Room] | None:
        """The living room at a URL; its domain is the first label of the host."""
        parts = urlsplit(url)
        label = (parts.hostname or "").partition(".")[0]
        for domain in self.domains:
            room = domain.find(parts.path.strip("/")) if domain.name == label else None
            if room is not None:
                return domain, room
        return None

    def room_named(self, name: str) -> Room | None:
        """The living room of that name or URL, the user's domain first."""
        if "://" in name:
            found = self.room_at(name)
            return found[1] if found else None
        return self.user.find(name) or self.cloud.find(name)
