"""Daily's REST API under `/v1`: rooms, presence, ejection, meeting tokens, for the domain that the key speaks for.

Error words and limits from docs.daily.co/reference/rest-api (authentication page); `info` texts are the sandbox's own.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from orchestrator.sandbox.clock import SandboxClock
from orchestrator.sandbox.daily import NAME_LIMIT, Daily, Domain
from orchestrator.sandbox.edge import Edge
from orchestrator.sandbox.exchange import Answer, Asked
from orchestrator.sandbox.properties import ROOM, TOKEN, why_refused
from orchestrator.sandbox.rooms import Room
from orchestrator.sandbox.settings import SandboxSettings
from orchestrator.sandbox.tokens import BadToken, read_token

INVALID_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
BATCH_LIMIT: Final = 1000
EJECT_LIMIT: Final = 100
PAGE_LIMIT: Final = 100
WORDS: Final = {
    400: "invalid-request-error",
    401: "authentication-error",
    404: "not-found",
    413: "invalid-request-error",
    429: "rate-limit-error",
    500: "server-error",
}


class RateWindow:
    """At most `limit` requests in any `seconds` real seconds, per key."""

    def __init__(self, *, limit: int, seconds: float, clock: SandboxClock) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[str, deque[float]] = {}

    def full(self, key: str) -> bool:
        """Whether this request is one too many; counts it where it is not."""
        now = self._clock.now()
        seen = self._seen.setdefault(key, deque())
        while seen and seen[0] <= now - self._seconds:
            seen.popleft()
        if len(seen) >= self._limit:
            return True
        seen.append(now)
        return False


class DailyRoutes:
    """Daily's manners and handlers."""

    flavour = "daily"

    def __init__(self, *, daily: Daily, clock: SandboxClock, settings: SandboxSettings) -> None:
        self._daily = daily
        self._clock = clock
        self._settings = settings
        requests, window = settings.daily_requests
        deletes, delete_window = settings.daily_deletes
        self._general = RateWindow(limit=requests, seconds=clock.scaled(window), clock=clock)
        self._deletes = RateWindow(limit=deletes, seconds=clock.scaled(delete_window), clock=clock)

    def add_to(self, app: web.Application, edge: Edge) -> None:
        """Register every path."""
        add = edge.routes_of(self, app)
        for operation, method, path, handler in (
            ("room_create", "POST", "/v1/rooms", self.create_room),
            ("room_list", "GET", "/v1/rooms", self.list_rooms),
            ("room_get", "GET", "/v1/rooms/{name}", self.get_room),
            ("room_update", "POST", "/v1/rooms/{name}", self.update_room),
            ("room_delete", "DELETE", "/v1/rooms/{name}", self.delete_room),
            ("rooms_delete", "DELETE", "/v1/batch/rooms", self.delete_rooms),
            ("presence", "GET", "/v1/rooms/{name}/presence", self.presence_of_room),
            ("presence_all", "GET", "/v1/presence", self.presence),
            ("eject", "POST", "/v1/rooms/{name}/eject", self.eject),
            ("token_create", "POST", "/v1/meeting-tokens", self.create_token),
            ("token_get", "GET", "/v1/meeting-tokens/{token}", self.get_token),
        ):
            add(operation, method, path, handler)

    def refusal(self, asked: Asked, operation: str) -> Answer | None:
        """400 without a key, 401 with a wrong one, 429 above the limits."""
        key = asked.bearer()
        if key is None:
            return Answer(
                status=400, body={"error": "authorization-header-error", "info": "missing Authorization header"}
            )
        if self._daily.domain_of_key(key) is None:
            return self.error(401, "this key is no domain's")
        window = self._deletes if operation == "room_delete" else self._general
        return self.error(429, "too many requests") if window.full(key) else None

    def error(self, status: int, message: str) -> Answer:
        """Daily's error object."""
        return Answer(status=status, body={"error": WORDS.get(status, "server-error"), "info": message})

    def create_room(self, asked: Asked) -> Answer:
        """POST /rooms."""
        body = _object(asked)
        if body is None:
            return self.error(400, "the body is no JSON object")
        name, privacy = body.get("name"), body.get("privacy", "public")
        properties = body.get("properties", {})
        refused = self._bad_name(asked, name) or _bad_privacy(privacy) or why_refused(properties, ROOM)
        if refused:
            return self.error(400, refused)
        room = self._domain(asked).create(name=name, privacy=privacy, properties=properties, why="POST /rooms")
        return Answer(body=room.document())

    def list_rooms(self, asked: Asked) -> Answer:
        """GET /rooms: newest first, paged by room id."""
        rooms = self._domain(asked).living()[::-1]
        ids = [room.id for room in rooms]
        first, last = 0, len(rooms)
        if asked.query.get("starting_after") in ids:
            first = ids.index(asked.query["starting_after"]) + 1
        if asked.query.get("ending_before") in ids:
            last = ids.index(asked.query["ending_before"])
        limit = _limit(asked)
        if limit is None:
            return self.error(400, "'limit' must be a number")
        page = rooms[first:last][: min(PAGE_LIMIT, limit)]
        return Answer(body={"total_count": len(rooms), "data": [room.document() for room in page]})

    def get_room(self, asked: Asked) -> Answer:
        """GET /rooms/:name."""
        room = self._room(asked)
        return Answer(body=room.document()) if room else self._not_found(asked)

    def update_room(self, asked: Asked) -> Answer:
        """POST /rooms/:name; a changed `exp` counts from now on."""
        room, body = self._room(asked), _object(asked)
        if room is None:
            return self._not_found(asked)
        if body is None:
            return self.error(400, "the body is no JSON object")
        properties = body.get("properties", {})
        refused = _bad_privacy(body.get("privacy", room.privacy)) or why_refused(properties, ROOM)
        if refused:
            return self.error(400, refused)
        room.privacy = body.get("privacy", room.privacy)
        room.config.update(properties)
        room.watch_expiry()
        return Answer(body=room.document())

    def delete_room(self, asked: Asked) -> Answer:
        """DELETE /rooms/:name; an expired room answers 404 with `deleted: true` (Daily, delete room)."""
        room, domain = self._room(asked), self._domain(asked)
        if room is not None:
            domain.delete(room)
            return Answer(body={"deleted": True, "name": room.name})
        not_found = self._not_found(asked)
        if domain.expired(asked.parts["name"]):
            return Answer(status=404, body={**not_found.body, "deleted": True})
        return not_found

    def delete_rooms(self, asked: Asked) -> Answer:
        """DELETE /batch/rooms. Whether an unknown name fails the batch is not stated; here it is passed over."""
        body, domain = _object(asked), self._domain(asked)
        names = body.get("rooms") if body else None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return self.error(400, "'rooms' must be a list of names")
        if len(names) > BATCH_LIMIT:
            return self.error(400, f"more than {BATCH_LIMIT} rooms")
        rooms = [domain.find(name) for name in dict.fromkeys(names)]
        if asked.fault == "all_or_nothing" and None in rooms:
            return self.error(400, "at least one room does not exist; no rooms were deleted")
        found = [room for room in rooms if room is not None]
        for room in found:
            domain.delete(room)
        return Answer(body={"deleted_count": len(found)})

    def presence_of_room(self, asked: Asked) -> Answer:
        """GET /rooms/:name/presence."""
        room = self._room(asked)
        if room is None:
            return self._not_found(asked)
        now, limit = self._clock.now(), _limit(asked)
        if limit is None:
            return self.error(400, "'limit' must be a number")
        present = self._domain(asked).presence_of(room, lag=self._settings.room_presence_lag)
        wanted = [
            participant.presence_entry(now)
            for participant in present
            if asked.query.get("userId", participant.user_id) == participant.user_id
            and asked.query.get("userName", participant.user_name) == participant.user_name
        ]
        return Answer(body={"total_count": len(wanted), "data": wanted[:limit]})

    def presence(self, asked: Asked) -> Answer:
        """GET /presence: the whole domain by room name, up to 15 s stale."""
        now = self._clock.now()
        rooms = self._domain(asked).presence(lag=self._settings.presence_lag)
        return Answer(body={name: [one.presence_entry(now) for one in present] for name, present in rooms.items()})

    def eject(self, asked: Asked) -> Answer:
        """POST /rooms/:name/eject; ids that are not there do not fail the call."""
        room, body = self._room(asked), _object(asked)
        if room is None:
            return self._not_found(asked)
        ids, users = (body or {}).get("ids", []), (body or {}).get("user_ids", [])
        if not isinstance(ids, list) or not isinstance(users, list) or max(len(ids), len(users)) > EJECT_LIMIT:
            return self.error(400, f"'ids' and 'user_ids' are lists of at most {EJECT_LIMIT}")
        found = [one for one in room.present() if one.id in ids or one.user_id in users]
        if asked.fault == "ignored":
            found = []
        for participant in found:
            room.eject(participant)
        return Answer(body={"ejectedIds": [participant.id for participant in found]})

    def create_token(self, asked: Asked) -> Answer:
        """POST /meeting-tokens."""
        body = _object(asked)
        if body is None:
            return self.error(400, "the body is no JSON object")
        properties = body.get("properties", {})
        refused = why_refused(properties, TOKEN)
        return self.error(400, refused) if refused else Answer(body={"token": self._domain(asked).sign(properties)})

    def get_token(self, asked: Asked) -> Answer:
        """GET /meeting-tokens/:token: its properties."""
        domain = self._domain(asked)
        try:
            return Answer(body=read_token(asked.parts["token"], key=domain.key, domain=domain.name))
        except BadToken as error:
            return self.error(400, str(error))

    def _domain(self, asked: Asked) -> Domain:
        return self._daily.domain_of_key(asked.bearer() or "") or self._daily.user

    def _room(self, asked: Asked) -> Room | None:
        return self._domain(asked).find(asked.parts["name"])

    def _not_found(self, asked: Asked) -> Answer:
        return self.error(404, f"room {asked.parts['name']} not found")

    def _bad_name(self, asked: Asked, name: Any) -> str | None:
        if name is None:
            return None
        if not isinstance(name, str) or INVALID_NAME.search(name) or not 0 < len(name) <= NAME_LIMIT:
            return "the room name is not valid"
        return f"a room named {name} already exists" if self._domain(asked).find(name) else None


def _limit(asked: Asked) -> int | None:
    text = asked.query.get("limit", str(PAGE_LIMIT))
    return int(text) if text.isdecimal() else None


def _bad_privacy(privacy: Any) -> str | None:
    return None if privacy in {"public", "private"} else "'privacy' is public or private"


def _object(asked: Asked) -> Mapping[str, Any] | None:
    try:
        body = asked.json()
    except ValueError:
        return None
    return body if isinstance(body, Mapping) else None
