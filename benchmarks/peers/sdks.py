"""The official SDKs glued together, one run behind a semaphore, as their examples show one call.

`pipecatcloud` starts and stops, `cekura` submits and waits for the result of each run alone, Pipecat's helper deletes
rooms.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

import aiohttp
from cekura import AsyncCekura
from pipecat.transports.daily.utils import DailyRESTHelper
from pipecatcloud.api import _API
from pipecatcloud.session import Session, SessionParams

from benchmarks.peers.remotes import AGENT, CEKURA_AGENT
from benchmarks.peers.view import POLL_SECONDS, PeerSettings, View, main

SETTLE_SECONDS: Final = 2.0
WAIT_HOURS: Final = 2.0


class Glue:
    """The three clients, and what they need to find each other."""

    def __init__(self, *, settings: PeerSettings, cekura: AsyncCekura, daily: DailyRESTHelper, org: str) -> None:
        self._settings = settings
        self._cekura = cekura
        self._daily = daily
        self._org = org

    async def run(self, scenario: int, view: View) -> None:
        """One run from its start to its teardown."""
        params = SessionParams(data={}, use_daily=True)
        started = await Session(AGENT, os.environ["PIPECAT_CLOUD_API_KEY"], params).start()
        if started is None:  # what the SDK makes of a connection that failed
            view.note(None)
            return
        try:
            await asyncio.sleep(self._settings.scaled(SETTLE_SECONDS))
            view.note(await self._judged(scenario, started))
        finally:
            await self._tear_down(started)

    async def _judged(self, scenario: int, started: dict[str, Any]) -> dict[str, Any]:
        room = {"pipecat_room_url": started["dailyRoom"], "pipecat_token": started["dailyToken"]}
        submitted = await self._cekura.scenarios.run_pipecat(
            agent=CEKURA_AGENT, mock_tool_names=[], scenarios=[{"scenario": scenario, **room}]
        )
        result = await self._cekura.results.wait(
            submitted["id"],
            poll_interval=self._settings.scaled(POLL_SECONDS),
            timeout=self._settings.scaled(WAIT_HOURS * 3600),
        )
        (run,) = result["runs"].values()
        return dict(run)

    async def _tear_down(self, started: dict[str, Any]) -> None:
        api = _API(token=os.environ["PIPECAT_CLOUD_PRIVATE_KEY"])
        await api.agent_session_terminate(AGENT, started["sessionId"], self._org)
        try:
            await self._daily.delete_room_by_url(started["dailyRoom"])
        except Exception:  # noqa: BLE001  what the helper raises for a limit; once more, as one would
            await asyncio.sleep(self._settings.scaled(POLL_SECONDS))
            await self._daily.delete_room_by_url(started["dailyRoom"])


async def sdks(settings: PeerSettings, view: View) -> None:
    """All runs in `at_once` places."""
    places = asyncio.Semaphore(settings.at_once)
    organization, _ = await _API(token=os.environ["PIPECAT_CLOUD_PRIVATE_KEY"]).organizations_current()
    key = os.environ["ORCHESTRATOR_DAILY_KEYS"].partition("=")[2]
    async with AsyncCekura() as cekura, aiohttp.ClientSession() as http:
        daily = DailyRESTHelper(daily_api_key=key, daily_api_url=os.environ["DAILY_API_URL"], aiohttp_session=http)
        glue = Glue(settings=settings, cekura=cekura, daily=daily, org=organization["name"])

        async def run_one(scenario: int) -> None:
            async with places:
                try:
                    await glue.run(scenario, view)
                except Exception:  # noqa: BLE001  whatever an SDK raises costs one run, not all
                    view.note(None)

        await asyncio.gather(*(run_one(scenario) for scenario in settings.scenarios()))


if __name__ == "__main__":
    main(sdks)
