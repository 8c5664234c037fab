"""The script that people write for one run, put behind a semaphore.

Start, sleep two seconds, submit that room, poll that run alone, stop the session and delete the room.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import aiohttp

from benchmarks.peers.remotes import ENDED, Remotes, open_remotes
from benchmarks.peers.view import POLL_SECONDS, PeerSettings, View, main

SETTLE_SECONDS: Final = 2.0


async def per_run(settings: PeerSettings, view: View) -> None:
    """One after the other in `at_once` places."""
    places = asyncio.Semaphore(settings.at_once)
    async with open_remotes(settings) as remotes:

        async def run_one(scenario: int) -> None:
            async with places:
                try:
                    await _run(settings, remotes, scenario, view)
                except aiohttp.ClientError:
                    view.note(None)

        await asyncio.gather(*(run_one(scenario) for scenario in settings.scenarios()))


async def _run(settings: PeerSettings, remotes: Remotes, scenario: int, view: View) -> None:
    session = await remotes.start()
    try:
        await asyncio.sleep(settings.scaled(SETTLE_SECONDS))
        (run,) = await remotes.submit([(scenario, session)])
        view.note(await _judged(settings, remotes, run))
    finally:
        await remotes.stop(session)
        await remotes.delete_room(session)


async def _judged(settings: PeerSettings, remotes: Remotes, run: dict[str, Any]) -> dict[str, Any]:
    while run["status"] not in ENDED:
        await asyncio.sleep(settings.scaled(POLL_SECONDS))
        (run,) = await remotes.poll([run["id"]])
    return run


if __name__ == "__main__":
    main(per_run)
