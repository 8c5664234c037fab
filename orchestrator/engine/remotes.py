"""The remotes of one process: one client each, shared by every batch, made on demand for agents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from orchestrator.clients.cekura import CekuraClient
from orchestrator.clients.daily import DailyClient, DailyDomains
from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.clients.pipecat_runner import PipecatRunnerClient
from orchestrator.clients.room import RoomAddress, parse_room_url
from orchestrator.domain.errors import OrchestratorError, RemoteAuthFailed, RemoteError
from orchestrator.domain.observation import Room
from orchestrator.domain.plan import AgentKind
from orchestrator.engine.presence import Presence
from orchestrator.engine.tokens import TesterTokens

AgentClient = PipecatCloudClient | PipecatRunnerClient
MOST_REMEMBERED: Final = 50_000  # rooms; a forgotten one costs one more request


@dataclass(kw_only=True)
class Remotes:
    """What the engine may call, and what it must know of itself while it does.

    `starting`: nonces whose start call is under way in this process. `adopting`: held while a lost session is looked
    for and written down. `recorded`: sessions whose record our key was shown, so that its 404 means they are gone.
    `presence`: who is in which room, asked for once for all. `tokens`: minted for testers ahead of their submission.
    """

    cekura: CekuraClient
    daily: DailyDomains
    daily_api_url: str
    open_agent: Callable[[AgentKind, str], AgentClient]
    starting: set[str] = field(default_factory=set)
    adopting: asyncio.Lock = field(default_factory=asyncio.Lock)
    recorded: set[str] = field(default_factory=set)
    presence: Presence = field(default_factory=Presence)
    tokens: TesterTokens = field(default_factory=TesterTokens)
    _shown: dict[str, DailyClient] = field(default_factory=dict)
    _agents: dict[tuple[AgentKind, str], AgentClient] = field(default_factory=dict)

    def agent(self, kind: AgentKind, address: str) -> AgentClient:
        """The client of one agent (`address`: its name at Pipecat Cloud, or its runner's URL)."""
        key = (kind, address)
        if key not in self._agents:
            self._agents[key] = self.open_agent(kind, address)
        return self._agents[key]

    def address(self, room_url: str) -> RoomAddress:
        """The domain and name inside a room's URL."""
        return parse_room_url(room_url, daily_api_url=self.daily_api_url)

    def daily_of_domain(self, room_url: str) -> DailyClient | None:
        """The Daily key that was shown another room of this room's domain: where to ask first who is in it."""
        domain = self.address(room_url).domain
        return next((client for client in self.daily.clients if client.domain == domain), None)

    def note_shown(self, room_url: str, client: DailyClient) -> None:
        """Note that a key of the room's own domain was shown the room, by name, with somebody in it."""
        if len(self._shown) >= MOST_REMEMBERED:
            self._shown.pop(next(iter(self._shown)))
        self._shown[room_url] = client

    async def daily_for(self, room_url: str) -> DailyClient | None:
        """The Daily key that was shown this room, or None where none is; RemoteError while that cannot be told."""
        if room_url in self._shown:
            return self._shown[room_url]
        try:
            return await self.daily.client_for(self.address(room_url))
        except RemoteAuthFailed:
            return None

    async def aclose(self) -> None:
        """Close every client."""
        for agent in self._agents.values():
            await agent.aclose()
        await self.daily.aclose()
        await self.cekura.aclose()

    async def room(self, room_url: str) -> Room | None:
        """The room as Daily shows it; None where no key of ours can tell."""
        try:
            client = await self.daily_for(room_url)
            if client is None:
                return None
            return await client.get_room(self.address(room_url).name)
        except RemoteError:
            return None


def sentence(error: OrchestratorError) -> str:
    """An error as one line for a person: what happened, and what to do."""
    what = str(error).rstrip(".")
    return f"{what}. {error.next_step}" if error.next_step else what
