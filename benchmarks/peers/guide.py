"""The script of Cekura's manual-flow guide, grown to N runs.

Start all sessions behind a semaphore, submit all rooms in one request, poll all runs in bulk, delete in `finally`.
"""

from __future__ import annotations

import asyncio
from typing import Final

from benchmarks.peers.remotes import ENDED, Remotes, Session, open_remotes
from benchmarks.peers.view import POLL_SECONDS, PeerSettings, View, main

STARTS_AT_ONCE: Final = 8  # at 1.5 s each about five a second


async def guide(settings: PeerSettings, view: View) -> None:
    """All at once."""
    async with open_remotes(settings) as remotes:
        sessions: list[Session] = []
        try:
            await _start_all(settings, remotes, sessions)
            runs = await remotes.submit(zip(settings.scenarios(), sessions, strict=True))
            await _follow(settings, remotes, [run["id"] for run in runs], view)
        finally:
            await asyncio.gather(*(remotes.stop(session) for session in sessions), return_exceptions=True)
            await remotes.delete_rooms(sessions)


async def _start_all(settings: PeerSettings, remotes: Remotes, sessions: list[Session]) -> None:
    places = asyncio.Semaphore(STARTS_AT_ONCE)

    async def start() -> None:
        async with places:
            sessions.append(await remotes.start())

    await asyncio.gather(*(start() for _ in range(settings.runs)))


async def _follow(settings: PeerSettings, remotes: Remotes, pending: list[int], view: View) -> None:
    while pending:
        await asyncio.sleep(settings.scaled(POLL_SECONDS))
        for run in await remotes.poll(pending):
            if run["status"] in ENDED:
                pending.remove(run["id"])
                view.note(run)


if __name__ == "__main__":
    main(guide)
