"""Asks Pipecat Cloud for the records of stopped sessions: one by one while few are waited for, by list when many are.

A stop is confirmed only by the session's record. Asking for each costs as many requests as the stops themselves; when a
whole batch is cancelled there is no time for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.observation import SessionRecord

FEW: Final = 5
PAGE: Final = 100  # records that one request for a list brings
GATHER: Final = 0.1  # seconds to wait for others who ask for the same, again while more of them come
LONGEST_GATHER: Final = 1.0
CLOCK_SLACK: Final = timedelta(seconds=60)


class Records:
    """The records of one agent's sessions; every request it makes only reads. `speed` hurries it, for a sandbox."""

    def __init__(self, agent: PipecatCloudClient, *, speed: float = 1.0) -> None:
        self._agent = agent
        self._speed = speed
        self._wanted: dict[str, tuple[datetime, asyncio.Future[SessionRecord | None]]] = {}
        self._collecting: asyncio.Task[None] | None = None
        self._pages = 1  # that the last list took: it begins with the newest session, and those that end are old ones

    async def get(self, session_id: str, *, begun_at: datetime) -> SessionRecord:
        """The record of a session that was begun at `begun_at`; RemoteNotFound: the key is shown none."""
        fresh: asyncio.Future[SessionRecord | None] = asyncio.get_running_loop().create_future()
        _, listed = self._wanted.setdefault(session_id, (begun_at, fresh))
        if self._collecting is None:
            self._collecting = asyncio.create_task(self._collect(), name="collect session records")
        found = await asyncio.shield(listed)  # two may ask for one session: neither takes the answer from the other
        return found if found is not None else await self._agent.get_session(session_id)

    async def _collect(self) -> None:
        await self._gather()
        wanted, self._wanted, self._collecting = self._wanted, {}, None
        oldest = min(at for at, _ in wanted.values())
        found: Mapping[str, SessionRecord] = {}
        try:
            if len(wanted) > max(FEW, self._pages):
                found = await self._list(oldest, wanted)
        finally:  # whatever became of the list, nobody waits for it any more
            for session_id, (_, listed) in wanted.items():
                listed.set_result(found.get(session_id))

    async def _gather(self) -> None:
        """Stops go out at the pace of their remote, so those who ask come one after the other."""
        for _ in range(round(LONGEST_GATHER / GATHER)):
            before = len(self._wanted)
            await asyncio.sleep(GATHER / self._speed)
            if len(self._wanted) == before:
                return

    async def _list(self, oldest: datetime, wanted: Collection[str]) -> Mapping[str, SessionRecord]:
        """By id; nothing where the list cannot be had: then each asks for its own."""
        try:
            records = await self._agent.list_sessions(since=oldest - CLOCK_SLACK, urgent=True, wanted=wanted)
        except OrchestratorError:
            return {}
        self._pages = len(records) // PAGE + 1
        return {record.session_id: record for record in records}
