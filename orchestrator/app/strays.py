"""What lives where our keys reach, told apart: what is provably ours though no row holds it, and what is not.

A stray is proven by our mark, which the bot's presence carries, and through the record that names the same participant
its session is too; or by a plan that says nobody else starts its agent. Everything here only reads. What it asks of a
remote does not grow with what others run there: one presence for each Daily key, one list of sessions for each agent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from orchestrator.clients.daily import DailyClient, DailyDomains
from orchestrator.clients.pipecat_account import PipecatCloudAccount
from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.clock import Clock
from orchestrator.domain.errors import OrchestratorError, RemoteBusy, RemoteError, RemoteNotFound, RemoteUnavailable
from orchestrator.domain.mark import bears_mark
from orchestrator.domain.observation import Participant, Room, SessionRecord
from orchestrator.domain.plan import AgentKind, Plan
from orchestrator.domain.session import Session

MOST_AGENTS: Final = 50
MOST_RECORDS: Final = 200  # records of single sessions, asked for to find which of them our bots are
RECORDS_AT_ONCE: Final = 10
TRIES: Final = 3
TRY_AGAIN: Final = 1.0
JOIN_SLACK: Final = timedelta(seconds=5)  # a bot joins after its session was created, give or take two clocks
NEVER: Final = datetime.max.replace(tzinfo=UTC)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the rows hold, and so is no stray; empty where the state is lost."""

    marks: frozenset[str] = frozenset()
    session_ids: frozenset[str] = frozenset()
    room_names: frozenset[str] = frozenset()

    @classmethod
    def by(cls, sessions: Iterable[Session]) -> Held:
        """What these rows hold."""
        known = list(sessions)
        return cls(
            marks=frozenset(one.nonce for one in known),
            session_ids=frozenset(one.session_id for one in known if one.session_id),
            room_names=frozenset(one.room_url.rstrip("/").rsplit("/", 1)[-1] for one in known if one.room_url),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRoom:
    """A room with somebody in it, as one Daily key shows it."""

    client: DailyClient
    name: str
    present: tuple[Participant, ...]

    @property
    def since(self) -> datetime | None:
        """When the first of those present came."""
        return min((one.joined_at for one in self.present if one.joined_at), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSession:
    """A live session of an agent on Pipecat Cloud."""

    agent: PipecatCloudClient
    record: SessionRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """Something of ours that no row holds: a bot in a room, the session it is, or a session whose room is not known.

    `mark` is None where the plan's `exclusive` is the proof, `bot` where no room of it is known. `room` is None beside
    a bot whose room is gone. `whole` is False for a room that may serve others too: only the bot is ours to put out.
    """

    mark: str | None
    session: SeenSession | None
    bot: Participant | None = None
    room: Room | None = None
    whole: bool = True


@dataclass(frozen=True, slots=True)
class FoundRoom:
    """What became of a question for a room: None inside means that its key knows it no longer."""

    room: Room | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Something alive that is not provably ours: never touched. `place` is its agent, or the key that shows it."""

    what: str
    name: str
    place: str
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What was found. `unasked`: what could not be looked at, and why. `all_sessions`: every live one was compared."""

    strays: tuple[Stray, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    unasked: tuple[str, ...] = ()
    all_sessions: bool = False


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
    _unasked: dict[str, None] = field(default_factory=dict)

    async def look(self, held: Callable[[], Awaitable[Held]]) -> Surroundings:
        """Look around. `held` is read after the remotes were asked: a row is older than whatever its start made."""
        rooms, sessions = await asyncio.gather(self._rooms(), self._sessions())
        known = await held()
        live = [one for one in sessions if one.record.session_id not in known.session_ids]
        bots = [
            (room, bot)
            for room in rooms
            for bot in room.present
            if bears_mark(bot.user_id, place=self.place) and bot.user_id not in known.marks
        ]
        named = await self._named(live, [bot for _, bot in bots])
        marked = [await self._marked(room, bot, named.get(bot.participant_id), known) for room, bot in bots]
        strays = [stray for stray in marked if stray is not None]
        strays += await self._exclusive(live, strays, rooms, named)
        return Surroundings(
            strays=tuple(strays),
            foreign=tuple(self._foreign(rooms, live, strays, known)),
            unasked=tuple(self._unasked),
            all_sessions=self.account is not None and not self._unasked and self.plan is None,
        )

    # --- asking ----------------------------------------------------------------------------------------------------

    async def _rooms(self) -> list[SeenRoom]:
        """Every occupied room of every Daily key; two keys of one domain show the same ones."""
        found: dict[str, SeenRoom] = {}
        for client in self.daily.clients:
            for name, present in (await self._ask(client.label, client.presence_all) or {}).items():
                if present:
                    found.setdefault(
                        present[0].participant_id, SeenRoom(client=client, name=name, present=tuple(present))
                    )
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

    async def _named(self, live: Sequence[SeenSession], bots: Sequence[Participant]) -> dict[str, SeenSession]:
        """Live sessions by the participant that their record names; the likeliest are asked first."""
        wanted = {bot.participant_id for bot in bots}
        ours = [one for one in live if self._is_exclusive(one)]
        others = sorted(
            (one for one in live if not self._is_exclusive(one)), key=lambda one: _distance(one.record, bots)
        )
        waiting = ours + (others if bots else [])
        found: dict[str, SeenSession] = {}
        asked = 0
        while asked < min(len(waiting), MOST_RECORDS) and (asked < len(ours) or not wanted <= found.keys()):
            group = waiting[asked : asked + RECORDS_AT_ONCE]
            asked += len(group)
            for seen, ids in zip(group, await asyncio.gather(*map(self._participants, group)), strict=True):
                found |= dict.fromkeys(ids, seen)
        if asked < len(waiting) and not wanted <= found.keys():
            self._unasked[f"the records of {len(waiting) - asked} live sessions: there are too many"] = None
        return found

    async def _participants(self, seen: SeenSession) -> tuple[str, ...]:
        async def record() -> tuple[str, ...]:
            try:
                return (await seen.agent.get_session(seen.record.session_id)).participant_ids
            except RemoteNotFound:
                return ()

        return await self._ask(f"session {seen.record.session_id}", record) or ()

    async def _marked(self, seen: SeenRoom, bot: Participant, session: SeenSession | None, known: Held) -> Stray | None:
        """The stray that a marked bot is; None where presence is older than the end of both its room and session."""
        found = await self._room(seen)
        if found is None:
            return None  # it could not be asked; that is noted, and the next look finds it
        room = found.room
        if room is None:
            return None if session is None else Stray(mark=bot.user_id, session=session, bot=bot)
        marks = Counter(bears_mark(one.user_id, place=self.place) for one in seen.present)[True]
        own = marks == 1 and seen.name not in known.room_names and _ends_itself(room)
        return Stray(mark=bot.user_id, session=session, bot=bot, room=room, whole=own)

    async def _room(self, seen: SeenRoom) -> FoundRoom | None:
        """The room as it is now; None, and a note, where it could not be asked."""

        async def room() -> FoundRoom:
            try:
                return FoundRoom(await seen.client.get_room(seen.name))
            except RemoteNotFound:
                return FoundRoom(None)

        return await self._ask(f"room {seen.name}", room)

    async def _exclusive(
        self,
        live: Sequence[SeenSession],
        strays: Sequence[Stray],
        rooms: Sequence[SeenRoom],
        named: dict[str, SeenSession],
    ) -> list[Stray]:
        """The sessions of an agent that nobody else starts; their rooms through the participants they were."""
        found = {stray.session.record.session_id for stray in strays if stray.session is not None}
        places = {one.participant_id: (room, one) for room in rooms for one in room.present}
        return [
            await self._unmarked(
                one, next((places[name] for name, seen in named.items() if seen is one and name in places), None)
            )
            for one in live
            if self._is_exclusive(one) and one.record.session_id not in found
        ]

    async def _unmarked(self, session: SeenSession, where: tuple[SeenRoom, Participant] | None) -> Stray:
        if where is None:
            return Stray(mark=None, session=session)
        seen, bot = where
        found = await self._room(seen)
        if found is None:
            return Stray(mark=None, session=session)
        whole = found.room is None or _ends_itself(found.room)
        return Stray(mark=None, session=session, bot=bot, room=found.room, whole=whole)

    def _is_exclusive(self, seen: SeenSession) -> bool:
        agent = self.plan.agent if self.plan is not None and not self.driven else None
        return agent is not None and agent.exclusive and seen.agent.agent_name == agent.name

    def _foreign(
        self, rooms: Sequence[SeenRoom], live: Sequence[SeenSession], strays: Sequence[Stray], known: Held
    ) -> Iterable[Foreign]:
        sessions = {stray.session.record.session_id for stray in strays if stray.session is not None}
        ours = {stray.room.name for stray in strays if stray.room is not None} | known.room_names
        for seen in live:
            if seen.record.session_id not in sessions:
                place = f"agent {seen.agent.agent_name}"
                yield Foreign(what="session", name=seen.record.session_id, place=place, since=seen.record.created_at)
        for room in rooms:
            marked = any(bears_mark(one.user_id, place=self.place) for one in room.present)
            if room.name not in ours and not marked:
                place = room.client.domain or room.client.label
                yield Foreign(what="room", name=room.name, place=place, since=room.since)


def _ends_itself(room: Room) -> bool:
    """Every room that a start of ours asked for has an end and ejects; one without serves others (DAILY_ROOM_URL)."""
    return room.expires_at is not None and room.eject_at_expiry


def _distance(record: SessionRecord, bots: Sequence[Participant]) -> timedelta:
    """How long after the session's creation the nearest of the bots came; far for what was created after it."""
    created = record.created_at or NEVER
    waits = [bot.joined_at + JOIN_SLACK - created for bot in bots if bot.joined_at is not None]
    return min((wait for wait in waits if wait >= timedelta(0)), default=timedelta.max)
