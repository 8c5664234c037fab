"""Daily's REST API: rooms, presence, ejection and meeting tokens; one client per key, and a key speaks for one domain.

Sources: docs.daily.co REST pages and daily-ruby (generated from Daily's OpenAPI). A room of another domain answers 404
like a room that is gone, which is why a 404 alone confirms nothing (see `DailyDomains`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from orchestrator.clients.address import segment
from orchestrator.clients.http import Answer, RemoteHttp
from orchestrator.clients.observer import RequestObserver
from orchestrator.clients.pace import Pace, Share, alone
from orchestrator.clients.refusal import Dialect
from orchestrator.clients.room import RoomAddress, parse_room_url
from orchestrator.clients.wire import epoch, flag, moment, record_of, text_of, whole_number
from orchestrator.clock import Clock
from orchestrator.domain.errors import RemoteAuthFailed, RemoteNotFound, RemoteProtocolError
from orchestrator.domain.observation import Participant, Room
from orchestrator.domain.secret import ApiKey, MeetingToken
from orchestrator.settings import Settings

REMOTE: Final = "Daily"
OWN_LABEL: Final = "DAILY_API_KEY"
PAGE: Final = 100
MOST_PAGES: Final = 500
ROOMS_PER_BATCH: Final = 1000
IDS_PER_EJECTION: Final = 100
MOST_REMEMBERED: Final = 50_000  # rooms; a forgotten one costs one more request
GONE: Final = frozenset({HTTPStatus.NOT_FOUND.value})


class DailyClient:
    """One Daily key; `domain` is the domain it speaks for once any of its rooms has been seen.

    `fingerprint` tells keys apart in records that outlive the process: 32 bits of a hash, of no use to anybody else.
    """

    def __init__(self, http: RemoteHttp, *, label: str, delete_pace: Pace | None = None, fingerprint: str = "") -> None:
        self.label = label
        self.fingerprint = fingerprint
        self.domain: str | None = None
        self._http = http
        self._delete_pace = delete_pace

    @classmethod
    def open(
        cls,
        key: ApiKey,
        *,
        label: str,
        daily_api_url: str,
        clock: Clock,
        pace_scale: float = 1.0,
        share: Share = alone,
        observer: RequestObserver | None = None,
    ) -> DailyClient:
        """A client for `key`, paced under Daily's documented limits; `label` says where the key came from."""
        http = RemoteHttp(
            remote=REMOTE,
            base_url=daily_api_url,
            headers={"Authorization": f"Bearer {key.reveal()}"},
            clock=clock,
            pace=Pace.for_window(requests=100, seconds=5.0, scale=pace_scale, share=share),
            dialect=_dialect(label),
            observer=observer,
        )
        delete_pace = Pace.for_window(requests=50, seconds=30.0, scale=pace_scale, share=share)
        fingerprint = hashlib.sha256(b"Daily " + key.reveal().encode()).hexdigest()[:8]
        return cls(http, label=label, delete_pace=delete_pace, fingerprint=fingerprint)

    def __repr__(self) -> str:
        return f"DailyClient(label={self.label!r}, domain={self.domain!r})"

    async def create_room(
        self, *, name: str | None = None, privacy: str = "private", properties: Mapping[str, Any] | None = None
    ) -> Room:
        """Make a room. Not repeated: a lost answer may have left one (ask `get_room` where it was named)."""
        body: dict[str, Any] = {"privacy": privacy, "properties": dict(properties or {})}
        if name is not None:
            body["name"] = name
        return self._room(await self._http.act("POST", "/rooms", operation="create_room", json=body))

    async def get_room(self, name: str) -> Room:
        """The room of this key's domain; may be repeated. RemoteNotFound: not on this domain, expired or deleted."""
        return self._room(await self._http.read("GET", f"/rooms/{segment(name)}", operation="get_room"))

    async def list_rooms(self) -> list[Room]:
        """Every room of the domain, newest first; may be repeated."""
        found: dict[str, Room] = {}
        params: dict[str, str | int] = {"limit": PAGE}
        for _ in range(MOST_PAGES):
            answer = await self._http.read("GET", "/rooms", operation="list_rooms", params=params)
            rooms = [self._room_of(answer, item) for item in answer.array("data")]
            fresh = [room for room in rooms if room.name not in found]
            found.update({room.name: room for room in fresh})
            if len(rooms) < PAGE or not fresh:
                return list(found.values())
            params["starting_after"] = rooms[-1].room_id
        raise RemoteProtocolError(
            remote=REMOTE, operation="list_rooms", detail=f"its list did not end within {MOST_PAGES} pages"
        )

    async def update_room(
        self, name: str, *, expires_at: datetime | None = None, eject_at_expiry: bool | None = None
    ) -> Room:
        """Change a room's end; may be repeated (twice is once). None leaves a property as it is."""
        properties: dict[str, Any] = {}
        if expires_at is not None:
            properties["exp"] = int(expires_at.timestamp())
        if eject_at_expiry is not None:
            properties["eject_at_room_exp"] = eject_at_expiry
        path = f"/rooms/{segment(name)}"
        return self._room(await self._http.read("POST", path, operation="update_room", json={"properties": properties}))

    async def delete_room(self, name: str) -> None:
        """Delete a room; may be repeated. Paced apart: Daily takes 50 of these in 30 s.

        RemoteNotFound: this key's domain knows no such room. A 404 that says `deleted: true` is an expired room that
        was not collected yet, and counts as deleted.
        """
        answer = await self._http.read(
            "DELETE",
            f"/rooms/{segment(name)}",
            operation="delete_room",
            pace=self._delete_pace,
            urgent=True,
            accept=GONE,
        )
        if answer.status in GONE and not _said_deleted(answer):
            raise answer.error()

    async def delete_rooms(self, names: Sequence[str]) -> int:
        """Delete up to 1000 rooms in one request and say how many went; may be repeated.

        All or nothing on bad data (whether an unknown name is such is not documented): fall back to `delete_room`.
        """
        if len(names) > ROOMS_PER_BATCH:
            raise ValueError(f"Daily deletes at most {ROOMS_PER_BATCH} rooms in one request")
        if not names:
            return 0
        body = {"rooms": list(names)}
        answer = await self._http.read("DELETE", "/batch/rooms", operation="delete_rooms", json=body, urgent=True)
        deleted = whole_number(answer.record().get("deleted_count"))
        if deleted is None:
            raise answer.broken("the answer does not say how many rooms were deleted")
        return deleted

    async def presence(self, name: str) -> list[Participant]:
        """Who is in one room; may be repeated. Lags a little, so absence counts only after a while."""
        answer = await self._http.read("GET", f"/rooms/{segment(name)}/presence", operation="presence")
        return _participants(answer.array("data"), name)

    async def presence_all(self) -> dict[str, list[Participant]]:
        """Who is in every room of the domain, by room name; up to 15 s old, asked at most every 15 s."""
        answer = await self._http.read("GET", "/presence", operation="presence_all")
        rooms = answer.record()
        if not all(isinstance(entries, list) for entries in rooms.values()):
            raise answer.broken("a room's presence is not a list")
        return {name: _participants(entries, name) for name, entries in rooms.items()}

    async def eject(self, name: str, participant_ids: Sequence[str]) -> None:
        """Put participants out of a room; may be repeated, ids that left already do no harm. It is no ban."""
        for start in range(0, len(participant_ids), IDS_PER_EJECTION):
            body = {"ids": list(participant_ids[start : start + IDS_PER_EJECTION])}
            await self._http.read("POST", f"/rooms/{segment(name)}/eject", operation="eject", json=body, urgent=True)

    async def create_meeting_token(
        self,
        *,
        room_name: str,
        expires_at: datetime,
        is_owner: bool = False,
        user_name: str | None = None,
        user_id: str | None = None,
    ) -> MeetingToken:
        """Mint a token for one room that ends at `expires_at`; may be repeated, a lost one simply expires unused."""
        wanted = {
            "room_name": room_name,
            "exp": int(expires_at.timestamp()),
            "is_owner": is_owner,
            "user_name": user_name,
            "user_id": user_id,
        }
        body = {"properties": {name: value for name, value in wanted.items() if value is not None}}
        answer = await self._http.read("POST", "/meeting-tokens", operation="create_meeting_token", json=body)
        token = text_of(answer.record().get("token"))
        if not token:
            raise answer.broken("a meeting token without a token")
        return MeetingToken(token)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def address_of(self, room: Room) -> RoomAddress:
        """Where `room` is, its URL in the form we compare."""
        return parse_room_url(room.url, daily_api_url=self._http.base_url)

    def _room(self, answer: Answer) -> Room:
        return self._room_of(answer, answer.record())

    def _room_of(self, answer: Answer, body: Mapping[str, Any]) -> Room:
        room = _room(body)
        if room is None:
            raise answer.broken("a room without a name or url")
        try:
            self.domain = self.address_of(room).domain
        except RemoteProtocolError as error:
            raise answer.broken(error.detail) from None
        return room


class DailyDomains:
    """The Daily keys at hand and the rooms each has shown us; only a key that once showed a room may call it gone."""

    def __init__(self, own: DailyClient | None, by_domain: Mapping[str, DailyClient]) -> None:
        self._own = own
        self._by_domain = dict(by_domain)
        self._witnesses: dict[str, DailyClient] = {}

    @classmethod
    def open(
        cls,
        settings: Settings,
        *,
        clock: Clock,
        pace_scale: float = 1.0,
        share: Share = alone,
        observer: RequestObserver | None = None,
    ) -> DailyDomains:
        """A client for DAILY_API_KEY (its domain is learned) and one per entry of ORCHESTRATOR_DAILY_KEYS."""

        def client(key: ApiKey, label: str) -> DailyClient:
            return DailyClient.open(
                key,
                label=label,
                daily_api_url=settings.daily_api_url,
                clock=clock,
                pace_scale=pace_scale,
                share=share,
                observer=observer,
            )

        own = client(settings.daily_api_key, OWN_LABEL) if settings.daily_api_key else None
        keys = settings.daily_keys.items()
        return cls(own, {domain: client(key, f"ORCHESTRATOR_DAILY_KEYS[{domain}]") for domain, key in keys})

    @property
    def clients(self) -> tuple[DailyClient, ...]:
        """Every client, DAILY_API_KEY's first."""
        own = () if self._own is None else (self._own,)
        return own + tuple(self._by_domain.values())

    async def client_for(self, room: RoomAddress) -> DailyClient | None:
        """The client whose key returned this very room, url included, now or earlier; None where no key ever did.

        May be repeated. RemoteAuthFailed where a key that might have known the room was refused.
        """
        if room.url in self._witnesses:
            return self._witnesses[room.url]
        refused: RemoteAuthFailed | None = None
        for client in self._candidates(room):
            try:
                shown = await client.get_room(room.name)
            except RemoteNotFound:
                continue
            except RemoteAuthFailed as error:
                refused = error
                continue
            if client.address_of(shown).url == room.url:
                self._remember(room, client)
                return client
        if refused is not None:
            raise refused
        return None

    def forget(self, room: RoomAddress) -> None:
        """Drop what is known of a room whose teardown is settled."""
        self._witnesses.pop(room.url, None)

    def of_fingerprint(self, fingerprint: str | None) -> DailyClient | None:
        """The key that an earlier process noted down as a room's witness; None where it is not at hand any more."""
        return next((client for client in self.clients if client.fingerprint == fingerprint), None)

    async def aclose(self) -> None:
        """Close every client."""
        for client in self.clients:
            await client.aclose()

    def _candidates(self, room: RoomAddress) -> list[DailyClient]:
        named = self._by_domain.get(room.domain)
        own = self._own if self._own is not None and self._own.domain in {None, room.domain} else None
        return [client for client in (named, own) if client is not None]

    def _remember(self, room: RoomAddress, client: DailyClient) -> None:
        if len(self._witnesses) >= MOST_REMEMBERED:
            self._witnesses.pop(next(iter(self._witnesses)))
        self._witnesses[room.url] = client


def _dialect(label: str) -> Dialect:
    return Dialect(
        key_advice=f"{label} must be an API key of the Daily domain the rooms live on (Daily dashboard, Developers).",
        missing_advice=f"{label} speaks for one Daily domain, and that domain knows no such room.",
        address_advice="Check DAILY_API_URL and the network, then try again.",
        lookup_advice="A room may exist: list the domain's rooms before making another.",
        auth_codes=frozenset({"authorization-header-error", "authentication-error"}),
    )


def _said_deleted(answer: Answer) -> bool:
    try:
        return record_of(answer.json()).get("deleted") is True
    except RemoteProtocolError:
        return False


def _room(body: Mapping[str, Any]) -> Room | None:
    name, url = text_of(body.get("name")), text_of(body.get("url"))
    if not name or not url:
        return None
    config = record_of(body.get("config"))
    return Room(
        room_id=text_of(body.get("id")),
        name=name,
        url=url,
        privacy=text_of(body.get("privacy")),
        expires_at=epoch(config.get("exp")),
        eject_at_expiry=flag(config.get("eject_at_room_exp")) or False,
        created_at=moment(body.get("created_at")),
    )


def _participants(entries: list[Any], room_name: str) -> list[Participant]:
    found = [record_of(entry) for entry in entries]
    return [
        Participant(
            participant_id=text_of(entry.get("id")),
            room_name=room_name,
            user_id=text_of(entry.get("userId")) or None,
            user_name=text_of(entry.get("userName")) or None,
            joined_at=moment(entry.get("joinTime")),
        )
        for entry in found
        if text_of(entry.get("id"))
    ]
