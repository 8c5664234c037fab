"""What lives where our keys reach, told apart: what is provably ours though no row holds it, and what is not.

A stray is proven by our mark, which the bot's presence carries, and through the record that names the same participant
its session is too; or by a plan that says nobody else starts its agent. Everything here only reads. What it asks of a
remote does not grow with what others run there: one presence for each Daily key, one list of sessions for each agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from orchestrator.app.surroundings import (
    BY_MARK,
    BY_PLAN,
    BY_ROW,
    Bot,
    Foreign,
    FoundRoom,
    Held,
    SeenRoom,
    SeenSession,
    Stray,
    Surroundings,
    made_for,
)
from orchestrator.clients.daily import DailyDomains
from orchestrator.clients.pipecat_account import PipecatCloudAccount
from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.clock import Clock
from orchestrator.domain.errors import OrchestratorError, RemoteBusy, RemoteError, RemoteNotFound, RemoteUnavailable
from orchestrator.domain.mark import bears_mark
from orchestrator.domain.observation import Participant, Room, SessionRecord
from orchestrator.domain.plan import AgentKind, Plan

MOST_AGENTS: Final = 50
MOST_RECORDS: Final = 200  # records of single sessions, asked for to find which of them our bots are
RECORDS_AT_ONCE: Final = 10
TRIES: Final = 3
TRY_AGAIN: Final = 1.0
JOIN_SLACK: Final = timedelta(seconds=5)  # a bot joins after its session was created, give or take two clocks
NEVER: Final = datetime.max.replace(tzinfo=UTC)
Answer = TypeVar("Answer")


@dataclass(kw_only=True)
class StraySearch:
    """Looks around once; `plan` names the one agent to look at, else every agent of the private key's organisation.

    `driven`: a process drives this state at the moment. A start of its whose answer is under way has no row that names
    its session yet, so that its plan's `exclusive` proves nothing.
    """

    daily: DailyDomains
    open_agent: Callable[[str], PipecatCloudClient]
    account: PipecatCloudAccount | None
    place: str
    clock: Clock
    plan: Plan | None = None
    driven: bool = False
    _held: Held = field(default_factory=Held)
    _unasked: dict[str, None] = field(default_factory=dict)

    async def look(self, held: Callable[[], Awaitable[Held]]) -> Surroundings:
        """Look around. `held` is read after the remotes were asked: a row is older than whatever its start made."""
        rooms, sessions = await asyncio.gather(self._rooms(), self._sessions())
        self._held = await held()
        live = [one for one in sessions if one.record.session_id not in self._held.session_ids]
        bots = [bot for room in rooms for bot in self._bots(room)]
        named = await self._named(live, bots)
        marked = [await self._marked(bot, named) for bot in {bot.mark: bot for bot in bots}.values()]
        strays = [stray for stray in marked if stray is not None]
        strays += await self._unmarked(live, strays, rooms, named)
        return Surroundings(
            strays=tuple(strays),
            foreign=tuple(self._foreign(rooms, live, strays)),
            unasked=tuple(self._unasked),
            all_sessions=self.account is not None and not self._unasked and self.plan is None,
        )

    def _bots(self, room: SeenRoom) -> list[Bot]:
        """Who bears a mark of this place that no row holds; Cekura's tester, given the same token, bears it too."""
        marks = dict.fromkeys(one.user_id for one in room.present if self._is_ours(one))
        return [
            Bot(mark=mark, room=room, present=tuple(one for one in room.present if one.user_id == mark))
            for mark in marks
            if mark is not None and mark not in self._held.marks
        ]

    def _is_ours(self, participant: Participant) -> bool:
        return bears_mark(participant.user_id, place=self.place)

    # --- asking ----------------------------------------------------------------------------------------------------

    async def _rooms(self) -> list[SeenRoom]:
        """Every occupied room of every Daily key; two keys of one domain show the same ones."""
        clients = self.daily.clients
        shown = await asyncio.gather(*(self._ask(client.label, client.presence_all) for client in clients))
        found: dict[str, SeenRoom] = {}
        for client, rooms in zip(clients, shown, strict=True):
            for name, present in (rooms or {}).items():
                if present:
                    seen = SeenRoom(client=client, name=name, present=tuple(present))
                    found.setdefault(present[0].participant_id, seen)
        return list(found.values())

    async def _sessions(self) -> list[SeenSession]:
        """Every live session of the agents looked at."""
        found: list[SeenSession] = []
        for name in await self._agents():
            found += await self._sessions_of(name)
        return found

    async def _agents(self) -> Sequence[str]:
        if self.account is None:
            return ()
        if self.plan is not None:
            return (self.plan.agent.address,) if self.plan.agent.kind is AgentKind.PIPECAT_CLOUD else ()
        names = await self._ask("Pipecat Cloud's agents", self.account.list_agents) or []
        if len(names) > MOST_AGENTS:
            self._unasked[f"{len(names) - MOST_AGENTS} of {len(names)} agents: name a plan to look at its agent"] = None
        return names[:MOST_AGENTS]

    async def _sessions_of(self, name: str) -> list[SeenSession]:
        try:
            agent = self.open_agent(name)
        except OrchestratorError as error:
            self._unasked[f"agent {name}: {error}"] = None
            return []

        async def live() -> list[SessionRecord]:
            try:
                return await agent.list_sessions(active_only=True)
            except RemoteNotFound:
                return []  # deleted since it was listed

        records = await self._ask(f"agent {name}", live) or []
        return [SeenSession(agent=agent, record=one) for one in records if one.ended_at is None]

    async def _ask(self, what: str, ask: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Ask what only reads, a few times where it is busy or away; None, and a note, where that fails."""
        for patience in reversed(range(TRIES)):
            try:
                return await ask()
            except (RemoteBusy, RemoteUnavailable) as error:
                if not patience:
                    self._unasked[f"{what}: {error}"] = None
                    return None
                await self.clock.sleep(TRY_AGAIN)
            except RemoteError as error:
                self._unasked[f"{what}: {error}"] = None
                return None
        return None

    # --- telling apart ---------------------------------------------------------------------------------------------

    async def _named(self, live: Sequence[SeenSession], bots: Sequence[Bot]) -> dict[str, SeenSession]:
        """Live sessions by the participants that their records name; the likeliest are asked first."""
        ours = [one for one in live if self._proof(one)]
        others = [one for one in live if not self._proof(one)] if bots else []
        waiting = ours + sorted(others, key=lambda one: _distance(one.record, bots))
        found: dict[str, SeenSession] = {}
        asked = 0
        while asked < min(len(waiting), MOST_RECORDS) and (asked < len(ours) or not _all_named(bots, found)):
            group = waiting[asked : asked + RECORDS_AT_ONCE]
            asked += len(group)
            for seen, ids in zip(group, await asyncio.gather(*map(self._participants, group)), strict=True):
                found |= dict.fromkeys(ids, seen)
        if asked < len(waiting) and not _all_named(bots, found):
            self._unasked[f"the records of {len(waiting) - asked} live sessions: there are too many"] = None
        return found

    async def _participants(self, seen: SeenSession) -> tuple[str, ...]:
        async def record() -> tuple[str, ...]:
            try:
                return (await seen.agent.get_session(seen.record.session_id)).participant_ids
            except RemoteNotFound:
                return ()

        return await self._ask(f"session {seen.record.session_id}", record) or ()

    async def _marked(self, bot: Bot, named: dict[str, SeenSession]) -> Stray | None:
        """The stray that a marked bot is; None where presence is older than the end of both its room and session."""
        found = await self._room(bot.room)
        if found is None:
            return None  # it could not be asked; that is noted, and the next look finds it
        session = next((named[one] for one in bot.participant_ids if one in named), None)
        if found.room is None and session is None:
            return None
        alone = {one.user_id for one in bot.room.present if self._is_ours(one)} == {bot.mark}
        whole = found.room is None or (alone and self._is_its_own(found.room, bot))
        return Stray(proof=BY_MARK, mark=bot.mark, session=session, bot=bot, room=found.room, whole=whole)

    async def _room(self, seen: SeenRoom) -> FoundRoom | None:
        """The room as it is now; None, and a note, where it could not be asked."""

        async def room() -> FoundRoom:
            try:
                return FoundRoom(await seen.client.get_room(seen.name))
            except RemoteNotFound:
                return FoundRoom(None)

        return await self._ask(f"room {seen.name}", room)

    async def _unmarked(
        self,
        live: Sequence[SeenSession],
        strays: Sequence[Stray],
        rooms: Sequence[SeenRoom],
        named: dict[str, SeenSession],
    ) -> list[Stray]:
        """Live sessions that are ours without a mark; their rooms are those of the participants they were."""
        found = {stray.session.record.session_id for stray in strays if stray.session is not None}
        places = {one.participant_id: (room, one) for room in rooms for one in room.present}
        where = {seen.record.session_id: places[name] for name, seen in named.items() if name in places}
        return [
            await self._in_room(one, proof, where.get(one.record.session_id))
            for one in live
            if one.record.session_id not in found and (proof := self._proof(one))
        ]

    async def _in_room(self, session: SeenSession, proof: str, where: tuple[SeenRoom, Participant] | None) -> Stray:
        found = await self._room(where[0]) if where is not None else None
        if where is None or found is None:
            return Stray(proof=proof, session=session)
        bot = Bot(mark=session.record.session_id, room=where[0], present=(where[1],))
        whole = found.room is None or self._is_its_own(found.room, bot)
        return Stray(proof=proof, session=session, bot=bot, room=found.room, whole=whole)

    def _is_its_own(self, room: Room, bot: Bot) -> bool:
        """Whether a room was made for this session; one that a row names was judged by that row already."""
        return room.name not in self._held.room_names and made_for(room, joined_at=bot.since)

    def _proof(self, seen: SeenSession) -> str:
        """Why a live session is ours whatever its bot bears; empty where nothing says so."""
        agent = self.plan.agent if self.plan is not None and not self.driven else None
        if seen.record.session_id in self._held.doubtful_ids:
            return BY_ROW
        return BY_PLAN if agent is not None and agent.exclusive and seen.agent.agent_name == agent.name else ""

    def _foreign(
        self, rooms: Sequence[SeenRoom], live: Sequence[SeenSession], strays: Sequence[Stray]
    ) -> Iterable[Foreign]:
        sessions = {stray.session.record.session_id for stray in strays if stray.session is not None}
        ours = {stray.bot.room.name for stray in strays if stray.bot is not None} | self._held.room_names
        for seen in live:
            if seen.record.session_id not in sessions:
                place = f"agent {seen.agent.agent_name}"
                yield Foreign(what="session", name=seen.record.session_id, place=place, since=seen.record.created_at)
        for room in rooms:
            if room.name not in ours and not any(map(self._is_ours, room.present)):
                place = room.client.domain or room.client.label
                yield Foreign(what="room", name=room.name, place=place, since=room.since)


def _all_named(bots: Sequence[Bot], named: dict[str, SeenSession]) -> bool:
    return all(any(one in named for one in bot.participant_ids) for bot in bots)


def _distance(record: SessionRecord, bots: Sequence[Bot]) -> timedelta:
    """How long after the session's creation the nearest of the bots came; far for what was created after it."""
    created = record.created_at or NEVER
    waits = [bot.since + JOIN_SLACK - created for bot in bots if bot.since is not None]
    return min((wait for wait in waits if wait >= timedelta(0)), default=timedelta.max)
