"""Whether the bots of sessions are in their rooms: by presence where a Daily key reaches the room, else by the record.

Many rooms of a domain are looked at together first, by the picture that everybody shares; it is up to 15 s old, so a
room it shows empty is looked at by itself before anybody believes it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from orchestrator.clients.daily import DailyClient
from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.clock import Clock
from orchestrator.domain.errors import OrchestratorError, RemoteError, RemoteNotFound
from orchestrator.domain.plan import Evidence
from orchestrator.domain.session import Session
from orchestrator.engine.remotes import Remotes

FEW: Final = 5  # rooms of one domain that are looked at one by one
PICTURE_EVERY: Final = 15.0  # seconds; Daily asks for that
CREATED_SLACK: Final = timedelta(seconds=5)
SETTLE: Final = 5.0  # seconds after its start answer that a bot is taken to be there, where nothing can be asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look showed, asked for at `at`: the bot `there` (None: it could not be told), or its session `over`.

    `evidence` and `seen_by` (the Daily key's fingerprint) say what a bot that is there was seen by.
    """

    at: datetime
    there: bool | None
    over: bool = False
    evidence: Evidence | None = None
    seen_by: str | None = None
    trouble: str = ""


class Attendance:
    """Looks into rooms; every request it makes only reads. `speed` hurries it, for a sandbox faster than life."""

    def __init__(self, *, remotes: Remotes, clock: Clock, speed: float) -> None:
        self._remotes = remotes
        self._clock = clock
        self._speed = speed

    async def look(self, session: Session) -> Look:
        """Look at one session's room."""
        return (await self.look_at([session]))[session.nonce]

    async def look_at(self, sessions: Sequence[Session]) -> dict[str, Look]:
        """Look at several, each of which was answered; by nonce."""
        by_key: dict[DailyClient, list[Session]] = defaultdict(list)
        unreached: list[Session] = []
        found: dict[str, Look] = {}
        for session in sessions:
            try:
                client = await self._remotes.daily_for(session.room_url or "") if session.room_url else None
            except RemoteError as error:
                found[session.nonce] = self._untold(str(error))
                continue
            if client is None:
                unreached.append(session)
            else:
                by_key[client].append(session)
        for client, group in by_key.items():
            found |= await self._by_presence(client, group)
        return found | await self._by_record(unreached)

    # --- presence --------------------------------------------------------------------------------------------------

    async def _by_presence(self, client: DailyClient, sessions: Sequence[Session]) -> dict[str, Look]:
        found = await self._in_picture(client, sessions) if len(sessions) > FEW else {}
        rest = [one for one in sessions if one.nonce not in found]
        now = self._clock.monotonic()
        allowed = rest[: max(0, self._remotes.presence.looks_left(client, now=now, speed=self._speed))]
        self._remotes.presence.count_looks(client, len(allowed), now=now)
        looks = await asyncio.gather(*(self._in_room(client, one) for one in allowed))
        found |= {one.nonce: look for one, look in zip(allowed, looks, strict=True)}
        return found | {one.nonce: self._untold("") for one in rest[len(allowed) :]}

    async def _in_picture(self, client: DailyClient, sessions: Sequence[Session]) -> dict[str, Look]:
        """Those whom the domain's picture shows."""
        monotonic = self._clock.monotonic()
        try:
            picture = await self._remotes.presence.picture(client, now=monotonic, every=PICTURE_EVERY / self._speed)
        except RemoteError:
            return {}
        if picture is None:
            return {}
        at = self._clock.now() - timedelta(seconds=self._clock.monotonic() - picture.asked_at)
        shown = [one for one in sessions if picture.rooms.get(self._name(one))]
        return {one.nonce: self._there(client, one, at) for one in shown}

    async def _in_room(self, client: DailyClient, session: Session) -> Look:
        at = self._clock.now()
        try:
            present = await client.presence(self._name(session))
        except RemoteNotFound:
            return Look(at=at, there=False)  # the key was shown the room before: it is gone
        except RemoteError as error:
            return self._untold(str(error))
        return self._there(client, session, at) if present else Look(at=at, there=False)

    def _there(self, client: DailyClient, session: Session, at: datetime) -> Look:
        self._remotes.note_shown(session.room_url or "", client)
        return Look(at=at, there=True, evidence=Evidence.PRESENCE, seen_by=client.fingerprint)

    def _name(self, session: Session) -> str:
        return self._remotes.address(session.room_url or "").name

    # --- where no Daily key reaches the room -----------------------------------------------------------------------

    async def _by_record(self, sessions: Sequence[Session]) -> dict[str, Look]:
        """What Pipecat Cloud's records say, and time alone where there are none."""
        by_agent: dict[PipecatCloudClient, list[Session]] = defaultdict(list)
        found: dict[str, Look] = {}
        for session in sessions:
            agent = self._remotes.agent(session.agent_kind, session.agent_address)
            if isinstance(agent, PipecatCloudClient) and agent.observable and session.session_id is not None:
                by_agent[agent].append(session)
            else:
                found[session.nonce] = self._settled(session)
        for agent, group in by_agent.items():
            found |= await self._recorded(agent, group)
        return found

    async def _recorded(self, agent: PipecatCloudClient, sessions: Sequence[Session]) -> dict[str, Look]:
        at, oldest = self._clock.now(), min(session.intended_at for session in sessions)
        try:
            records = await agent.list_sessions(since=oldest - CREATED_SLACK, active_only=False)
        except OrchestratorError as error:
            return {session.nonce: self._untold(str(error)) for session in sessions}
        by_id = {record.session_id: record for record in records}
        self._remotes.recorded.update(by_id)
        looks: dict[str, Look] = {}
        for session in sessions:
            record = by_id.get(session.session_id or "")
            if record is None:
                looks[session.nonce] = Look(at=at, there=None)
            elif record.ended_at is not None:
                looks[session.nonce] = Look(at=at, there=False, over=True)
            else:
                there = record.bot_started or None
                looks[session.nonce] = Look(at=at, there=there, evidence=Evidence.RECORD if there else None)
        return looks

    def _settled(self, session: Session) -> Look:
        at = self._clock.now()
        answered_at = session.answered_at or at
        there = True if at - answered_at >= timedelta(seconds=SETTLE / self._speed) else None
        return Look(at=at, there=there, evidence=Evidence.SETTLE if there else None)

    def _untold(self, trouble: str) -> Look:
        return Look(at=self._clock.now(), there=None, trouble=trouble)
