"""Notices that Cekura's tester has left a room, for calls whose end Cekura does not show.

Usually a poll shows `evaluating`, and the session is torn down then. Where that is never seen (polls fail, or the word
is another), a room that held two and has held fewer for two pictures of the domain is a call that is over. A picture is
up to 15 s old, so one proves nothing. They are taken also while polls tell enough: who was in a room before polls began
to fail cannot be asked afterwards, and one request shows all rooms, to readiness as well.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final

from orchestrator.clients.daily import DailyClient
from orchestrator.clock import Clock
from orchestrator.domain.errors import RemoteError
from orchestrator.domain.run import Run, RunStatus, TesterLeft
from orchestrator.domain.session import Session
from orchestrator.engine.presence import Picture
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.roster import Roster

BOT_AND_TESTER: Final = 2
CALLING: Final = (RunStatus.SUBMITTED, RunStatus.IN_CALL)  # without polls nobody learns that a call began
LOOKS: Final = 2


class Departures:
    """Watches the rooms of calls under way, with one request per Daily key and presence interval."""

    def __init__(self, *, roster: Roster, remotes: Remotes, clock: Clock) -> None:
        self._roster = roster
        self._remotes = remotes
        self._clock = clock
        self._met: set[str] = set()  # sessions whose room was seen to hold bot and tester
        self._apart: Counter[str] = Counter()
        self._seen_at: dict[DailyClient, float] = {}
        self._rooms: dict[str, tuple[DailyClient, str]] = {}

    async def run(self) -> None:
        """Look once per presence interval while any run may still be called."""
        bell = self._roster.bell()
        interval = self._roster.plan.timing.presence_interval
        while not self._roster.finished:
            if not self._roster.of_status(*CALLING):
                await bell.wait(1.0)
                continue
            await self._look()
            await self._roster.rest(interval)

    async def _look(self) -> None:
        rooms: dict[DailyClient, list[tuple[Run, str, str]]] = {}
        for run in self._roster.of_status(*CALLING):
            session = self._roster.session_of(run)
            known = await self._room(session) if session is not None and session.room_url else None
            if session is not None and known is not None:
                client, name = known
                rooms.setdefault(client, []).append((run, session.nonce, name))
        self._forget(nonce for group in rooms.values() for _, nonce, _ in group)
        await asyncio.gather(*(self._ask(client, group) for client, group in rooms.items()))

    async def _room(self, session: Session) -> tuple[DailyClient, str] | None:
        """Who may ask about a session's room, and its name; looked up once, as thousands may be in their calls."""
        if session.nonce not in self._rooms:
            try:
                client = await self._remotes.daily_for(session.room_url or "")
            except RemoteError:
                return None
            if client is None:
                return None
            self._rooms[session.nonce] = (client, self._remotes.address(session.room_url or "").name)
        return self._rooms[session.nonce]

    def _forget(self, calling: Iterable[str]) -> None:
        """Keep what is known of the sessions in their calls only."""
        nonces = set(calling)
        self._rooms = {nonce: room for nonce, room in self._rooms.items() if nonce in nonces}
        self._met &= nonces

    async def _ask(self, client: DailyClient, group: list[tuple[Run, str, str]]) -> None:
        picture = await self._picture(client)
        if picture is None or picture.asked_at <= self._seen_at.get(client, float("-inf")):
            return  # the same picture twice proves no more than once
        self._seen_at[client] = picture.asked_at
        for run, nonce, name in group:
            if len(picture.rooms.get(name, ())) >= BOT_AND_TESTER:
                self._met.add(nonce)
                self._apart.pop(nonce, None)
            elif nonce in self._met:
                self._apart[nonce] += 1
                if self._apart[nonce] >= LOOKS:
                    await self._roster.apply(run.run_id, TesterLeft(at=self._clock.now()))

    async def _picture(self, client: DailyClient) -> Picture | None:
        every = self._roster.plan.timing.presence_interval
        try:
            return await self._remotes.presence.picture(client, now=self._clock.monotonic(), every=every)
        except RemoteError:
            return None
