"""Looking for what a lost start left behind. A start is never repeated: it is found by its mark, or it is named.

The mark is the nonce, carried as the `user_id` of the bot's presence entry: it proves the room. The record of a session
at Pipecat Cloud names the Daily participant it was, and so ties the session to that room. With `agent.exclusive`
nobody else starts the agent, so a session that none of our rows holds can only be ours; it names no room, so it can be
torn down but not used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.domain.errors import RemoteError
from orchestrator.domain.observation import Participant, SessionRecord
from orchestrator.domain.session import Session
from orchestrator.engine.remotes import Remotes
from orchestrator.store import sessions as session_rows

SHOWN_WITHIN: Final = 60.0  # seconds after which what presence does not show yet (lag, a cold start) it never will
Read = Callable[[Callable[[Any], Any]], Awaitable[Any]]
CLOCK_SLACK: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a lost start made, as far as it could be proven; `whole` when nothing more can come to light."""

    session_id: str | None
    room_url: str | None
    whole: bool


class StartLookup:
    """Finds sessions whose start answer was lost. Every call it makes only reads, and may be repeated.

    `read` runs a query on the state, and `shared` is whether other workers start sessions too.
    """

    def __init__(self, *, remotes: Remotes, read: Read, shared: bool, worker_id: Callable[[], str]) -> None:
        self._remotes = remotes
        self._read = read
        self._shared = shared
        self._worker_id = worker_id

    async def find(self, session: Session, *, exclusive: bool) -> Found | None:
        """What the start of `session` made, or None where nothing is provable now.

        Hold `Remotes.adopting` until what was found is in a row: two lookups must not take the same session.
        """
        room_url, bot = await self._room_by_mark(session.nonce)
        agent = self._cloud_agent(session)
        if agent is None:
            return None if room_url is None else Found(session_id=None, room_url=room_url, whole=True)
        try:
            session_id = await self._session_id(agent, session, bot, exclusive=exclusive)
        except RemoteError:
            session_id = None  # it cannot be asked now; the caller looks again
        if room_url is None and session_id is None:
            return None
        shown = room_url is not None or not self._remotes.daily.clients
        return Found(session_id=session_id, room_url=room_url, whole=session_id is not None and shown)

    def found_nothing(self, session: Session) -> str:
        """Why nothing was found: there was nothing to see, or nothing to look with."""
        if self._remotes.daily.clients or self._cloud_agent(session) is not None:
            return "nothing bears its mark"
        return "no key of ours can look for its mark"

    async def accounted_for(self, session: Session) -> bool:
        """True when every live session of the agent that this start could have made is held by another row."""
        agent = self._cloud_agent(session)
        if agent is None:
            return False
        try:
            return not await self._unheld(agent, session)
        except RemoteError:
            return False

    def _cloud_agent(self, session: Session) -> PipecatCloudClient | None:
        agent = self._remotes.agent(session.agent_kind, session.agent_address)
        return agent if isinstance(agent, PipecatCloudClient) and agent.observable else None

    async def _session_id(
        self, agent: PipecatCloudClient, session: Session, bot: Participant | None, *, exclusive: bool
    ) -> str | None:
        under_way = await self._under_way() - {session.nonce}
        unheld = await self._unheld(agent, session)
        if bot is not None:
            whole = await asyncio.gather(*(agent.get_session(record.session_id) for record in unheld))
            return next((record.session_id for record in whole if bot.participant_id in record.participant_ids), None)
        if not exclusive:
            return None
        if under_way:
            earliest = await self._read(partial(session_rows.earliest_sent, nonces=under_way))
            unheld = [record for record in unheld if _created_before(record, earliest and earliest - CLOCK_SLACK)]
        return unheld[0].session_id if unheld else None

    async def _under_way(self) -> frozenset[str]:
        """The starts that are being made now, here and by other workers."""
        here = frozenset(self._remotes.starting)
        if not self._shared:
            return here
        others: frozenset[str] = await self._read(partial(session_rows.sent_by_others, worker_id=self._worker_id()))
        return here | others

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

    async def _unheld(self, agent: PipecatCloudClient, session: Session) -> list[SessionRecord]:
        """Live sessions of the agent since the start was sent that no row of ours holds.

        The session of a start under way is among them: no row holds it yet. Its record tells it from ours where a bot
        was seen; by exclusion, only what was created before any such start was sent can be ours.
        """
        since = (session.sent_at or session.intended_at) - CLOCK_SLACK
        records = await agent.list_sessions(since=since, active_only=True)
        held = await self._read(session_rows.known_session_ids)
        return [record for record in records if record.session_id not in held]


def _created_before(record: SessionRecord, moment: datetime | None) -> bool:
    return moment is not None and record.created_at is not None and record.created_at < moment
