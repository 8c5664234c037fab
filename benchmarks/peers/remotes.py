"""The seven requests of the manual flow, as the guides show them: plain aiohttp, a retry where a remote is busy."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp

from benchmarks.peers.view import PeerSettings

AGENT: Final = "support-bot"
CEKURA_AGENT: Final = 5
ENDED: Final = frozenset({"completed", "failed", "timeout", "cancelled"})
IDS_PER_POLL: Final = 200
BUSY: Final = 429
TRIES: Final = 12
ROOM_HOURS: Final = 4

Session = dict[str, Any]


class Remotes:
    """One HTTP session for all three remotes; keys from the environment."""

    def __init__(self, http: aiohttp.ClientSession, settings: PeerSettings) -> None:
        self._http = http
        self._settings = settings
        self._pipecat = os.environ["PIPECAT_API_HOST"]
        self._cekura = f"{os.environ['CEKURA_API_URL']}/test_framework"
        self._daily = os.environ["DAILY_API_URL"]
        self._public = {"Authorization": f"Bearer {os.environ['PIPECAT_CLOUD_API_KEY']}"}
        self._private = {"Authorization": f"Bearer {os.environ['PIPECAT_CLOUD_PRIVATE_KEY']}"}
        self._cekura_key = {"X-CEKURA-API-KEY": os.environ["CEKURA_API_KEY"]}
        self._daily_key = {"Authorization": f"Bearer {os.environ['ORCHESTRATOR_DAILY_KEYS'].partition('=')[2]}"}

    async def start(self) -> Session:
        """Start a session with a room."""
        body = {"createDailyRoom": True, "dailyRoomProperties": {"exp": int(time.time()) + ROOM_HOURS * 3600}}
        return dict(await self._ask("POST", f"{self._pipecat}/v1/public/{AGENT}/start", self._public, json=body))

    async def submit(self, pairs: Iterable[tuple[int, Session]]) -> list[dict[str, Any]]:
        """Hand rooms over, each with its scenario; the runs that Cekura made of them."""
        scenarios = [
            {"scenario": scenario, "pipecat_room_url": one["dailyRoom"], "pipecat_token": one["dailyToken"]}
            for scenario, one in pairs
        ]
        body = {"agent": CEKURA_AGENT, "mock_tool_names": [], "scenarios": scenarios}
        address = f"{self._cekura}/v1/scenarios/run_scenarios_pipecat/"
        return list((await self._ask("POST", address, self._cekura_key, json=body))["runs"])

    async def poll(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """The runs of these ids, in as many requests as their URLs need."""
        found: list[dict[str, Any]] = []
        for first in range(0, len(ids), IDS_PER_POLL):
            asked = ",".join(map(str, ids[first : first + IDS_PER_POLL]))
            found += await self._ask("GET", f"{self._cekura}/v2/runs/bulk/?run_ids={asked}", self._cekura_key)
        return found

    async def stop(self, session: Session) -> None:
        """Stop a session; one that is gone is stopped."""
        address = f"{self._pipecat}/v1/agents/{AGENT}/sessions/{session['sessionId']}"
        await self._ask("DELETE", address, self._private, gone=True)

    async def delete_room(self, session: Session) -> None:
        """Delete a session's room."""
        await self._ask("DELETE", f"{self._daily}/rooms/{_room_name(session)}", self._daily_key, gone=True)

    async def delete_rooms(self, sessions: Sequence[Session]) -> None:
        """Delete many rooms at once: singly, Daily takes two a second."""
        names = [_room_name(session) for session in sessions]
        await self._ask("DELETE", f"{self._daily}/batch/rooms", self._daily_key, json={"rooms": names})

    async def _ask(
        self, method: str, address: str, headers: dict[str, str], *, json: Any = None, gone: bool = False
    ) -> Any:
        for number in range(TRIES):
            async with self._http.request(method, address, headers=headers, json=json) as answer:
                if answer.status == BUSY and number + 1 < TRIES:
                    await asyncio.sleep(self._settings.scaled(2.0 * (number + 1)))
                    continue
                if not (gone and answer.status == 404):  # noqa: PLR2004
                    answer.raise_for_status()
                return await answer.json()
        return None


@asynccontextmanager
async def open_remotes(settings: PeerSettings) -> AsyncIterator[Remotes]:
    """The remotes, as long as the script runs."""
    async with aiohttp.ClientSession() as http:
        yield Remotes(http, settings)


def _room_name(session: Session) -> str:
    return str(session["dailyRoom"]).rsplit("/", 1)[1]
