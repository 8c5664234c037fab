"""Looking for what a lost start left behind. A start is never repeated: it is found by its mark, or it is named.

The mark is the nonce, carried as the `user_id` of the bot's presence entry: it proves the room. The record of a session
at Pipecat Cloud names the Daily participant it was, and so ties the session to that room. With `agent.exclusive`
nobody else starts the agent, so a session that none of our rows holds can only be ours; it names no room, so it can be
torn down but not used.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.domain.errors import OrchestratorError, RemoteError
from orchestrator.domain.observation import Participant, SessionRecord
from orchestrator.domain.session import Session
from orchestrator.engine.remotes import Remotes
from orchestrator.store import sessions as session_rows
from orchestrator.store.database import Store

CLOCK_SLACK: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a lost start made, as far as it could be proven; either may be missing."""

    session_id: str | None
    room_url: str | None


class StartLookup:
    """Finds sessions whose start answer was lost. Every call it makes only reads, and may be repeated."""

    def __init__(self, *, remotes: Remotes, store: Store) -> None:
        self._remotes = remotes
        self._store = store

    async def find(self, session: Session, *, exclusive: bool) -> Found | None:
        """What the start of `session` made, or None where nothing is provable now."""
        room_url, bot = await self._room_by_mark(session.nonce)
        unheld = await self._unheld_records(session)
        record = await self._record_of(session, bot, unheld) if bot is not None else None
        if record is None and exclusive and unheld:
            record = unheld[0]
        if room_url is None and record is None:
            return None
        return Found(session_id=record.session_id if record else None, room_url=room_url)

    async def _room_by_mark(self, nonce: str) -> tuple[str | None, Participant | None]:
        for client in self._remotes.daily.clients:
            try:
                for name, participants in (await client.presence_all()).items():
                    bot = next((one for one in participants if one.user_id == nonce), None)
                    if bot is not None:
                        return (await client.get_room(name)).url, bot
            except RemoteError:
                continue  # this domain cannot be asked now; the caller looks again
        return None, None

    async def _unheld_records(self, session: Session) -> list[SessionRecord]:
        """Live sessions of the agent since the start was sent that no row of ours holds, nor may yet come to hold.

        A start whose answer is still on its way has made a session that no row holds yet: what was created since the
        earliest such start was sent may be its own.
        """
        agent = self._remotes.agent(session.agent_kind, session.agent_address)
        if not isinstance(agent, PipecatCloudClient) or not agent.observable or session.sent_at is None:
            return []
        under_way = self._remotes.starting - {session.nonce}
        try:
            records = await agent.list_sessions(since=session.sent_at - CLOCK_SLACK, active_only=True)
        except OrchestratorError:
            return []
        held = await self._store.read(session_rows.known_session_ids)
        earliest = await self._store.read(partial(session_rows.earliest_sent, nonces=under_way)) if under_way else None
        return [
            record
            for record in records
            if record.session_id not in held
            and (not under_way or _created_before(record, earliest and earliest - CLOCK_SLACK))
        ]

    async def _record_of(self, session: Session, bot: Participant, unheld: list[SessionRecord]) -> SessionRecord | None:
        agent = self._remotes.agent(session.agent_kind, session.agent_address)
        if not isinstance(agent, PipecatCloudClient):
            return None
        try:
            whole = await asyncio.gather(*(agent.get_session(record.session_id) for record in unheld))
        except OrchestratorError:
            return None
        return next((record for record in whole if bot.participant_id in record.participant_ids), None)


def _created_before(record: SessionRecord, moment: datetime | None) -> bool:
    return moment is not None and record.created_at is not None and record.created_at < moment
