"""How sessions and their rooms are torn down, and what counts as proof that they are gone.

Sessions are stopped first, in parallel: they bill. Rooms follow, emptied and deleted in bulk where there are many. What
cannot be confirmed is tried again until its bound has passed, or named with that bound where nothing can be asked.
Nothing here waits for the slowest: each end is told when it is known.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from orchestrator.clients.daily import DailyClient
from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.domain.errors import OrchestratorError, RemoteError, RemoteNotFound
from orchestrator.domain.observation import Room
from orchestrator.domain.plan import AgentKind
from orchestrator.domain.session import SETTLED, End, Session, Teardown
from orchestrator.engine.records import Records
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.roster import CALL_ENDED

OPEN: Final = End()
SHARED: Final = "a room the runner shares between sessions (DAILY_ROOM_URL): not ours to delete"
EXPIRY_TOLERANCE: Final = timedelta(minutes=2)
RECORD_APPEARS_WITHIN: Final = timedelta(seconds=60)
CLOUD_LIMIT: Final = "Pipecat Cloud's session limit"
RUNNER_IDLE: Final = timedelta(seconds=300)  # Pipecat's default pipeline idle timeout, where the bot passes it on
STOPS_AT_ONCE: Final = 20  # so that the records of the first are not asked for behind the stops of the last
STOPS_FIRST: Final = 1.5  # seconds that rooms wait for the stops of their sessions
PATIENCE: Final = 1.0  # seconds that the end of a session and that of its room wait to be told together
FEW_ROOMS: Final = 5  # looked into one by one; one request for the whole domain shows who is in more of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """How a session and its room stand after one try; not `whole` while the try still works on one of them."""

    session: Session
    session_end: End
    room_end: End
    whole: bool = True


Tell = Callable[[Ends], Awaitable[None]]
Witness = Callable[[Session], Awaitable[Session]]


async def _unwitnessed(session: Session) -> Session:
    return session


class TeardownCrew:
    """Tears down what it is given; every call it makes may be repeated, and a lost answer only means another try.

    `hurried` is true while the process has only seconds left. `speed` hurries it, for a sandbox faster than life.
    """

    def __init__(self, *, remotes: Remotes, hurried: Callable[[], bool] = lambda: False, speed: float = 1.0) -> None:
        self._remotes = remotes
        self._speed = speed
        self._hurried = hurried
        self._stopping = asyncio.Semaphore(STOPS_AT_ONCE)
        self._records: dict[PipecatCloudClient, Records] = {}

    async def tear_down(
        self, sessions: Sequence[Session], *, now: datetime, tell: Tell, witness: Witness = _unwitnessed
    ) -> None:
        """One try for each session and its room; `tell` hears of each as soon as it is known.

        `witness` writes down which key was shown a room, before that key deletes it, and gives back the row.

        Sessions are stopped first, because they bill, all at once; one that hangs holds up no other, and no room.
        """
        async with asyncio.TaskGroup() as work:
            stops = {session.nonce: work.create_task(self._end_session(session, now)) for session in sessions}
            await asyncio.wait(stops.values(), timeout=STOPS_FIRST)
            left = {session.nonce for session in sessions if _left(session, stops[session.nonce])}
            rooms = work.create_task(self._end_rooms(sessions, now, left=left, witness=witness))
            for session in sessions:
                work.create_task(_told(session, stops[session.nonce], rooms, tell), name=f"end {session.nonce}")

    # --- sessions --------------------------------------------------------------------------------------------------

    async def _end_session(self, session: Session, now: datetime) -> End:
        if session.session_end.state in SETTLED:
            return session.session_end
        bound = End(state=Teardown.BOUNDED, how=session.ends_by, at=session.ends_at)
        agent = self._remotes.agent(session.agent_kind, session.agent_address)
        if not isinstance(agent, PipecatCloudClient):
            return End(state=Teardown.BOUNDED, how=f"not observable on a runner; {session.ends_by}", at=session.ends_at)
        if session.session_id is None or not agent.stoppable:
            return bound
        # Even past its bound: sessions have outlived the platform's limit (daily-co/pipecat-cloud-images#102).
        end = await self._stop(agent, session, session.session_id, now)
        return bound if end.state is Teardown.OPEN and now >= session.ends_at else end

    async def _stop(self, agent: PipecatCloudClient, session: Session, session_id: str, now: datetime) -> End:
        """Stop a session, ask for its record. Both may be repeated; the row was condemned first; the reaper retries."""
        records = self._records.setdefault(agent, Records(agent, speed=self._speed))
        trouble = await self._ask_to_stop(agent, session_id)
        try:
            record = await records.get(session_id, begun_at=session.sent_at or session.intended_at)
        except RemoteNotFound:
            return self._unknown_to_the_key(session, session_id, now)
        except OrchestratorError as error:
            return End(state=Teardown.OPEN, how=trouble or str(error))
        self._remotes.recorded.add(session_id)
        if record.ended_at is None:
            return End(state=Teardown.OPEN, how=trouble or "stopped; its record shows no end yet")
        return End(state=Teardown.CONFIRMED, how="its record at Pipecat Cloud shows its end", at=record.ended_at)

    async def _ask_to_stop(self, agent: PipecatCloudClient, session_id: str) -> str:
        """Stop a session, and say why it may not have been; a lost answer is no reason not to ask for its record."""
        try:
            async with self._stopping:
                await agent.stop_session(session_id)
        except OrchestratorError as error:
            return str(error)
        return ""

    def _unknown_to_the_key(self, session: Session, session_id: str, now: datetime) -> End:
        """A 404 is proof only from a key that was shown the session before; another account's key never saw it."""
        if session_id in self._remotes.recorded:
            return End(state=Teardown.CONFIRMED, how="Pipecat Cloud knows it no longer", at=now)
        if now < (session.answered_at or session.intended_at) + RECORD_APPEARS_WITHIN:
            return End(state=Teardown.OPEN, how="Pipecat Cloud shows no record of it yet")
        how = f"this PIPECAT_CLOUD_PRIVATE_KEY's organisation knows no such session; {session.ends_by} ends it"
        return End(state=Teardown.BOUNDED, how=how, at=session.ends_at)

    # --- rooms -----------------------------------------------------------------------------------------------------

    async def _end_rooms(
        self, sessions: Sequence[Session], now: datetime, *, left: Collection[str], witness: Witness
    ) -> dict[str, End]:
        """`left`: whose bot and tester are known to be gone, so that nobody needs to be looked for and put out."""
        ends: dict[str, End] = {}
        by_key: dict[DailyClient, list[Session]] = defaultdict(list)
        for session in await asyncio.gather(*(witness(session) for session in sessions)):
            end, client = await self._room_key(session, now)
            if client is not None:
                by_key[client].append(session)
            else:
                ends[session.nonce] = end
        for client, group in by_key.items():
            ends |= await self._end_rooms_of(client, group, now, left=left)
        return ends

    async def _room_key(self, session: Session, now: datetime) -> tuple[End, DailyClient | None]:
        """The key that may delete the room of a session; else how the room stands without one."""
        if session.room_end.state in SETTLED:
            return session.room_end, None
        if session.room_url is None or now >= session.room_expires_at:
            return _bounded(session), None
        try:
            client = await self._remotes.daily_for(session.room_url)
            if client is None:
                return await self._unreached(session, now), None
            shared = await self._shared(client, session)
        except RemoteNotFound:
            return End(state=Teardown.CONFIRMED, how="Daily knows it no longer", at=now), None
        except RemoteError as error:
            return End(how=str(error)), None
        return (End(state=Teardown.BOUNDED, how=SHARED), None) if shared else (OPEN, client)

    async def _unreached(self, session: Session, now: datetime) -> End:
        """No key is shown the room now; the one that was shown it while it lived may say that it is gone."""
        witness = self._remotes.daily.of_fingerprint(session.room_seen_by)
        if witness is not None:
            try:
                await witness.get_room(self._remotes.address(session.room_url or "").name)
            except RemoteNotFound:
                return End(state=Teardown.CONFIRMED, how="Daily knows it no longer", at=now)
        return _bounded(session)

    async def _shared(self, client: DailyClient, session: Session) -> bool:
        """True for a runner's room that our start did not make: DAILY_ROOM_URL gives every session the same one."""
        if session.agent_kind is not AgentKind.PIPECAT_RUNNER:
            return False
        return not made_by(session, await client.get_room(self._remotes.address(session.room_url or "").name))

    async def _end_rooms_of(
        self, client: DailyClient, group: Sequence[Session], now: datetime, *, left: Collection[str]
    ) -> dict[str, End]:
        names = {session.nonce: self._remotes.address(session.room_url or "").name for session in group}
        occupied = [name for nonce, name in names.items() if nonce not in left]
        if occupied and (not self._hurried() or len(occupied) <= FEW_ROOMS):
            # In a hurry, many rooms would take as many ejections, for bots that were just stopped.
            await self._empty(client, occupied)
        if len(names) > 1:
            return await self._delete_in_bulk(client, names, now)
        return {nonce: await _delete(client, name, now) for nonce, name in names.items()}

    async def _empty(self, client: DailyClient, names: Sequence[str]) -> None:
        """Eject who is left; a room that cannot be emptied is deleted all the same."""
        try:
            if len(names) <= FEW_ROOMS:
                found = await asyncio.gather(*(client.presence(name) for name in names))
                present = dict(zip(names, found, strict=True))
            else:
                everybody = await client.presence_all()
                present = {name: everybody.get(name, []) for name in names}
        except RemoteError:
            return
        occupied = {name: [one.participant_id for one in somebody] for name, somebody in present.items() if somebody}
        await asyncio.gather(*(_eject(client, name, ids) for name, ids in occupied.items()))

    async def _delete_in_bulk(self, client: DailyClient, names: dict[str, str], now: datetime) -> dict[str, End]:
        try:
            count = await client.delete_rooms(list(names.values()))
        except RemoteError as error:
            count, why = 0, str(error)
        else:
            why = "the bulk delete removed fewer rooms than named"
        if count == len(names):
            gone = End(state=Teardown.CONFIRMED, how="deleted in bulk at Daily", at=now)
            return dict.fromkeys(names, gone)
        ends = {nonce: await _delete(client, name, now) for nonce, name in names.items()}
        return {nonce: end if end.state in SETTLED else End(how=end.how or why) for nonce, end in ends.items()}


def _left(session: Session, stop: asyncio.Task[End]) -> bool:
    """True where a session's record shows its end and no tester is in its room: the call is over, or never was."""
    stopped = stop.done() and not stop.cancelled() and stop.exception() is None
    over = session.condemned_for == CALL_ENDED or session.submission_id is None
    return stopped and over and stop.result().state is Teardown.CONFIRMED


def made_by(session: Session, room: Room) -> bool:
    """Whether a room is the one a session's start asked for: it expires when we asked, and a shared one does not."""
    return room.expires_at is not None and abs(room.expires_at - session.room_expires_at) <= EXPIRY_TOLERANCE


async def _told(session: Session, stop: asyncio.Task[End], rooms: asyncio.Task[dict[str, End]], tell: Tell) -> None:
    """Tell of one half at once when the other takes long, and again when all of it is known."""
    await asyncio.wait({stop, rooms}, return_when=asyncio.FIRST_COMPLETED)
    _, late = await asyncio.wait({stop, rooms}, timeout=PATIENCE)
    if late:
        end = stop.result() if stop.done() else session.session_end
        room_end = rooms.result()[session.nonce] if rooms.done() else session.room_end
        await tell(Ends(session=session, session_end=end, room_end=room_end, whole=False))
    end, room_end = await stop, (await rooms)[session.nonce]
    await tell(Ends(session=session, session_end=_without_room(session, end, room_end), room_end=room_end))


def _without_room(session: Session, end: End, room_end: End) -> End:
    """A bot on a runner cannot be stopped or asked, but once its room is gone only its idle timeout keeps it."""
    if session.agent_kind is not AgentKind.PIPECAT_RUNNER or room_end.state is not Teardown.CONFIRMED:
        return end
    how = "put out of its room, which is gone; a runner's bot cannot be observed, its own idle timeout ends it"
    return End(state=Teardown.BOUNDED, how=how, at=room_end.at and room_end.at + RUNNER_IDLE)


def _bounded(session: Session) -> End:
    if session.room_url is None:
        how = "its name is not known; if it exists, it expires and ejects whoever is in it"
    else:
        how = "no Daily key of ours reaches it; it expires and ejects whoever is in it"
    return End(state=Teardown.BOUNDED, how=how, at=session.room_expires_at)


async def _delete(client: DailyClient, name: str, now: datetime) -> End:
    """Delete one room. May be repeated; the key has seen this room alive, so its 404 is proof; the reaper retries."""
    try:
        await client.delete_room(name)
    except RemoteNotFound:
        return End(state=Teardown.CONFIRMED, how="Daily knows it no longer", at=now)
    except RemoteError as error:
        return End(state=Teardown.OPEN, how=str(error))
    return End(state=Teardown.CONFIRMED, how="deleted at Daily", at=now)


async def _eject(client: DailyClient, name: str, participant_ids: Sequence[str]) -> None:
    try:
        await client.eject(name, participant_ids)
    except RemoteError:
        return  # the deletion follows, and the room's own expiry ejects
