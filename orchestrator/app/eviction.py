"""Tears strays down as the reaper does rows: stop the session, empty and delete the room, and say how each end stands.

What is known of a stray is written as a session's row is, in memory only: the rules of what proves an end are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Final

from orchestrator.app.surroundings import Stray, Surroundings
from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.clock import Clock
from orchestrator.domain.errors import OrchestratorError, RemoteError, RemoteNotFound
from orchestrator.domain.plan import AgentKind, Plan
from orchestrator.domain.retry import backoff_seconds
from orchestrator.domain.session import End, Session, SessionStatus, Teardown
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.teardown import CLOUD_LIMIT, RUNNER_IDLE, Ends, TeardownCrew
from orchestrator.plans.rooms import room_seconds

LONGEST_SESSION: Final = timedelta(hours=4)  # the most a deployment can be set to (Pipecat Cloud, active sessions)
LONGEST_RETRY: Final = 10.0
NO_SESSION: Final = (
    "put out of its room; no live session at Pipecat Cloud names it, so it is a runner's, which cannot be observed: "
    "its own idle timeout ends it"
)
UNTOLD_SESSION: Final = (
    "put out of its room; which session it is could not be told: its own idle timeout ends it, or Pipecat Cloud's "
    "session limit"
)
SERVES_OTHERS: Final = "it may serve others too, so it is not ours to delete; only our bot is put out"
ROOM_GONE: Final = "Daily knows it no longer"


class Eviction:
    """The teardown of what one look found; `sessions` shows how it stands, at any time."""

    def __init__(self, *, remotes: Remotes, clock: Clock, found: Surroundings, plan: Plan | None) -> None:
        self._remotes = remotes
        self._clock = clock
        self._found = found
        self._plan = plan
        self._crew = TeardownCrew(remotes=remotes)
        self._rows = {stray.key: self._row(stray) for stray in found.strays}
        self._guests = {stray.key: stray for stray in found.strays if not stray.whole}

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Every stray as a session's row would tell of it."""
        return tuple(self._rows.values())

    async def run(self) -> None:
        """Tear down until every end is confirmed or bounded. Every call may be repeated."""
        await self._learn_limits()
        for tries in count(1):
            await self._put_out()
            due = [row for key, row in self._rows.items() if not row.torn_down and key not in self._guests]
            if due:
                await self._crew.tear_down(due, now=self._clock.now(), tell=self._hear)
            if all(row.torn_down for row in self.sessions):
                return
            await self._clock.sleep(backoff_seconds(tries, longest=LONGEST_RETRY))

    async def _hear(self, ends: Ends) -> None:
        key = ends.session.nonce
        self._rows[key] = replace(self._rows[key], session_end=ends.session_end, room_end=ends.room_end)

    async def _put_out(self) -> None:
        """Put our bots out of rooms that stay; whoever is out already does no harm."""
        for key, stray in list(self._guests.items()):
            if stray.room is None or stray.bot is None:
                continue
            try:
                client = await self._remotes.daily_for(stray.room.url)
                if client is not None:
                    await client.eject(stray.room.name, stray.bot.participant_ids)
            except RemoteNotFound:
                pass  # the room is gone, and the bot with it
            except RemoteError as error:
                self._rows[key] = replace(self._rows[key], session_end=End(how=str(error)))
                continue
            del self._guests[key]
            self._rows[key] = replace(self._rows[key], session_end=self._session_end(stray))

    async def _learn_limits(self) -> None:
        """When Pipecat Cloud ends each session by itself: its agent says, or it is the longest there is."""
        limits = {name: await self._limit(name) for name in {row.agent_address for row in self.sessions} if name}
        for key, row in self._rows.items():
            if row.agent_address:
                self._rows[key] = replace(row, ends_at=row.intended_at + limits[row.agent_address])

    async def _limit(self, agent_name: str) -> timedelta:
        agent = self._remotes.agent(AgentKind.PIPECAT_CLOUD, agent_name)
        if not isinstance(agent, PipecatCloudClient):
            return LONGEST_SESSION
        try:
            seconds = (await agent.get_agent()).max_session_seconds
        except OrchestratorError:
            return LONGEST_SESSION
        return timedelta(seconds=seconds) if seconds is not None else LONGEST_SESSION

    def _row(self, stray: Stray) -> Session:
        begun = stray.since or self._clock.now()
        record = stray.session.record if stray.session is not None else None
        if record is not None:
            self._remotes.recorded.add(record.session_id)  # our key was shown its record
        return Session(
            nonce=stray.key,
            batch_id="",
            run_id="",
            attempt=1,
            agent_kind=AgentKind.PIPECAT_CLOUD,
            agent_address=stray.session.agent.agent_name if stray.session is not None else "",
            status=SessionStatus.ALIVE,
            intended_at=begun,
            ends_by=CLOUD_LIMIT,
            ends_at=begun + LONGEST_SESSION,
            room_expires_at=self._room_expires_at(stray, begun),
            session_id=record.session_id if record is not None else None,
            room_url=stray.room.url if stray.room is not None else None,
            session_end=End() if not stray.whole else self._session_end(stray),
            room_end=self._room_end(stray),
        )

    def _room_expires_at(self, stray: Stray, begun: datetime) -> datetime:
        if stray.room is not None and stray.room.expires_at is not None:
            return stray.room.expires_at
        return begun + (timedelta(seconds=room_seconds(self._plan)) if self._plan is not None else LONGEST_SESSION)

    def _session_end(self, stray: Stray) -> End:
        """A session we know can be stopped; of a bot without one, only the room can be taken away."""
        if stray.session is not None:
            return End()
        if self._found.all_sessions:
            return End(state=Teardown.BOUNDED, how=NO_SESSION, at=self._clock.now() + RUNNER_IDLE)
        return End(state=Teardown.BOUNDED, how=UNTOLD_SESSION, at=(stray.since or self._clock.now()) + LONGEST_SESSION)

    def _room_end(self, stray: Stray) -> End:
        if stray.bot is not None and stray.room is None:
            return End(state=Teardown.CONFIRMED, how=ROOM_GONE, at=self._clock.now())
        return End() if stray.whole else End(state=Teardown.BOUNDED, how=SERVES_OTHERS)


def planned_eviction(strays: Sequence[Stray]) -> list[tuple[Stray, str]]:
    """What tearing down would do with each stray."""
    return [(stray, "; ".join(_steps(stray))) for stray in strays]


def _steps(stray: Stray) -> list[str]:
    steps = ["stop the session"] if stray.session is not None else []
    if stray.room is not None:
        steps.append("empty and delete the room" if stray.whole else "put the bot out of a room that stays")
    return steps
