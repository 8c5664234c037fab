"""Looking for what a lost start left behind. A start is never repeated: it is found by its mark, or it is named.

The mark is the nonce, carried as the `user_id` of the bot's presence entry. With `agent.exclusive` nobody else starts
the agent, so a session at Pipecat Cloud that none of our rows holds can only be ours; it names no room, so it can be
torn down but not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.domain.errors import OrchestratorError, RemoteError
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
    """Finds sessions whose start answer was lost."""

    def __init__(self, *, remotes: Remotes, store: Store) -> None:
        self._remotes = remotes
        self._store = store

    async def find(self, session: Session, *, exclusive: bool) -> Found | None:
        """What the start of `session` made, or None where nothing is provable now. Reads only; may be repeated."""
        room_url = await self._room_by_mark(session.nonce)
        session_id = await self._session_by_exclusion(session) if exclusive else None
        return Found(session_id=session_id, room_url=room_url) if room_url or session_id else None

    async def _room_by_mark(self, nonce: str) -> str | None:
        for client in self._remotes.daily.clients:
            try:
                rooms = await client.presence_all()
                for name, participants in rooms.items():
                    if any(participant.user_id == nonce for participant in participants):
                        return (await client.get_room(name)).url
            except RemoteError:
                continue  # this domain cannot be asked now; the caller looks again
        return None

    async def _session_by_exclusion(self, session: Session) -> str | None:
        agent = self._remotes.agent(session.agent_kind, session.agent_label)
        if not isinstance(agent, PipecatCloudClient) or not agent.observable or session.sent_at is None:
            return None
        try:
            records = await agent.list_sessions(since=session.sent_at - CLOCK_SLACK, active_only=True)
        except OrchestratorError:
            return None
        held = await self._store.read(session_rows.known_session_ids)
        ours = [record for record in records if record.session_id not in held]
        return ours[0].session_id if ours else None
