"""Waits until the bot is believed to be in its room, and says on what evidence.

A 200 from start does not prove that a bot ever ran. The first kind of evidence in the plan that can be had for a
session decides; a kind that cannot be had (no Daily key for that room, no private key) gives way to the next.

Rooms are looked at one by one where `domain/sighting` expects a bot, as often as Daily's limit allows; when more are
due than that, one request for the whole domain shows who came meanwhile. No look waits for another.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from orchestrator.clients.daily import DailyClient
from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.clients.probe import probe_room
from orchestrator.clock import Clock
from orchestrator.domain.errors import OrchestratorError, RemoteError, RemoteNotFound
from orchestrator.domain.observation import Participant
from orchestrator.domain.plan import Evidence
from orchestrator.domain.run import BotReady, Run, RunStatus, SessionLost
from orchestrator.domain.session import Session
from orchestrator.domain.sighting import REMEMBERED, Sighting, Sightings, Vigil, plan_looks
from orchestrator.engine.presence import LOOKS_PER_SECOND
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.roster import Roster
from orchestrator.store import sessions as session_rows

LOOK_EVERY: Final = 0.5
LIST_EVERY: Final = 1.0
CREATED_SLACK: Final = timedelta(seconds=5)


@dataclass(slots=True, kw_only=True)
class _Watch:
    """One session that waits for its bot; times are the plan's seconds since its start answer."""

    run: Run
    session: Session
    name: str
    kind: Evidence | None = None
    client: DailyClient | None = None
    empty_at: float = 0.0
    asked_at: float = float("-inf")
    busy: bool = False
    unknown: bool = False  # the key of its domain knew no such room


class Readiness:
    """Gathers evidence for the started sessions of one batch."""

    def __init__(self, *, roster: Roster, remotes: Remotes, clock: Clock, speed: float) -> None:
        self._roster = roster
        self._remotes = remotes
        self._clock = clock
        self._speed = speed
        self._trouble = ""  # why the last look showed nothing, where that was not the bot's doing
        self._watches: dict[str, _Watch] = {}
        self._seen: deque[Sighting] = deque(maxlen=REMEMBERED)
        self._sightings = Sightings()
        self._pictured_at: dict[DailyClient, float] = {}
        self._listing = False
        self._listed_at = float("-inf")
        self._looks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Look again and again while any run may still need a session."""
        bell = self._roster.bell()
        async with asyncio.TaskGroup() as looks:
            while not self._roster.finished:
                self._take_note()
                for look in self._due():
                    task = looks.create_task(look)
                    self._looks.add(task)
                    task.add_done_callback(self._looks.discard)
                await self._give_up_overdue()
                if self._watches:
                    await self._roster.rest(LOOK_EVERY / self._speed)
                else:
                    await bell.wait(1.0)
            for task in list(self._looks):
                task.cancel()  # nobody waits for what it may show

    def _take_note(self) -> None:
        """Watch the started sessions, and no others."""
        known, self._watches = self._watches, {}
        for run in self._roster.of_status(RunStatus.STARTED):
            session = self._roster.session_of(run)
            if session is not None:
                watch = known.pop(session.nonce) if session.nonce in known else self._watch(run, session)
                self._watches[session.nonce] = watch
        for watch in known.values():
            run = self._roster.runs[watch.run.run_id]
            if run.nonce != watch.session.nonce or run.status.final:
                self._remotes.tokens.drop(watch.session.nonce)  # its bot never came

    def _watch(self, run: Run, session: Session) -> _Watch:
        name = self._remotes.address(session.room_url).name if session.room_url else ""
        return _Watch(run=run, session=session, name=name)

    def _due(self) -> list[Coroutine[Any, Any, None]]:
        """The looks to make now, each to be awaited beside the others."""
        due: list[Coroutine[Any, Any, None]] = []
        by_presence: dict[DailyClient, list[_Watch]] = defaultdict(list)
        by_record: list[_Watch] = []
        for watch in self._watches.values():
            if watch.client is not None:
                by_presence[watch.client].append(watch)
            elif watch.kind is Evidence.RECORD:
                by_record.append(watch)
            elif watch.name and not watch.busy and self._age(watch) - watch.asked_at >= LIST_EVERY:
                watch.busy, watch.asked_at = True, self._age(watch)
                due.append(self._alone(watch))
        for client, watches in by_presence.items():
            due += self._presence(client, watches)
        if by_record and not self._listing and self._clock.monotonic() - self._listed_at >= LIST_EVERY / self._speed:
            self._listing, self._listed_at = True, self._clock.monotonic()
            due.append(self._records(by_record))
        return due

    async def _alone(self, watch: _Watch) -> None:
        """What is asked for one session apart: which evidence can be had, a probe, whether it has settled."""
        try:
            if watch.kind is None:
                await self._choose_evidence(watch)
            if watch.kind is Evidence.PROBE:
                await self._probe(watch)
            elif watch.kind is Evidence.SETTLE:
                await self._settle(watch)
        finally:
            watch.busy = False
        if watch.client is not None:
            await self._remotes.tokens.mint_ahead(watch.session, watch.client, watch.name)

    async def _choose_evidence(self, watch: _Watch) -> None:
        for kind in self._roster.plan.readiness.evidence:
            if kind is Evidence.PRESENCE:
                try:
                    watch.client = await self._daily(watch, watch.session.room_url or "")
                except RemoteError as error:
                    self._trouble = f"; the last look failed: {error}"
                    return  # Daily is in trouble: look again rather than settle for less
                if watch.client is not None:
                    watch.kind, watch.asked_at = kind, float("-inf")
                    return
            elif kind is not Evidence.RECORD or self._observable(watch.session):
                watch.kind = kind
                return

    async def _daily(self, watch: _Watch, room_url: str) -> DailyClient | None:
        """The key that reaches a room; the first look proves it where the key was shown others of its domain."""
        likely = None if watch.unknown else self._remotes.daily_of_domain(room_url)
        return likely or await self._remotes.daily_for(room_url)

    def _observable(self, session: Session) -> bool:
        agent = self._remotes.agent(session.agent_kind, session.agent_address)
        return agent.observable and session.session_id is not None

    # --- presence --------------------------------------------------------------------------------------------------

    def _presence(self, client: DailyClient, watches: Sequence[_Watch]) -> list[Coroutine[Any, Any, None]]:
        now = self._clock.monotonic()
        vigils = [
            Vigil(nonce=one.session.nonce, now=self._age(one), empty_at=one.empty_at, asked_at=one.asked_at)
            for one in watches
            if not one.busy
        ]
        worth = plan_looks(vigils, sightings=self._sightings)
        chosen = worth[: self._remotes.presence.looks_left(client, now=now, speed=self._speed)]
        self._remotes.presence.count_looks(client, len(chosen), now=now)
        due: list[Coroutine[Any, Any, None]] = []
        for nonce in chosen:
            watch = self._watches[nonce]
            watch.busy, watch.asked_at = True, self._age(watch)
            due.append(self._look(client, watch))
        if len(worth) - len(chosen) > LOOKS_PER_SECOND or self._unread(client):
            due.append(self._look_everywhere(client))
        return due

    async def _look(self, client: DailyClient, watch: _Watch) -> None:
        asked_at = watch.asked_at
        try:
            present = await client.presence(watch.name)
        except RemoteNotFound:
            watch.client, watch.kind, watch.unknown = None, None, True
            return
        except RemoteError as error:
            self._trouble = f"; the last look failed: {error}"
            return  # absence of an answer is not absence of a bot: look again
        finally:
            watch.busy = False
        self._trouble = ""
        if present:
            self._learn(watch, present, by=asked_at)
            await self._all_ready([watch], Evidence.PRESENCE)
        else:
            watch.empty_at = asked_at

    def _unread(self, client: DailyClient) -> bool:
        picture = self._remotes.presence.latest(client)
        return picture is not None and picture.asked_at > self._pictured_at.get(client, float("-inf"))

    async def _look_everywhere(self, client: DailyClient) -> None:
        """See who came by a picture of the whole domain; whom it does not show may have come since it was taken."""
        try:
            picture = await self._remotes.presence.picture(
                client, now=self._clock.monotonic(), every=self._roster.plan.timing.presence_interval
            )
        except RemoteError as error:
            self._trouble = f"; the last look failed: {error}"
            return
        if picture is None or not self._unread(client):
            return
        self._trouble = ""
        self._pictured_at[client] = picture.asked_at
        found = [one for one in self._watches.values() if one.client is client and picture.rooms.get(one.name)]
        for watch in found:
            self._learn(watch, picture.rooms[watch.name], by=self._age(watch))
        await self._all_ready(found, Evidence.PRESENCE)

    def _learn(self, watch: _Watch, present: Sequence[Participant], *, by: float) -> None:
        """Remember the room, and when its bot could be seen: once it had joined, if Daily's clock agrees with ours."""
        if watch.client is not None:
            self._remotes.note_shown(watch.session.room_url or "", watch.client)
        answered_at = watch.session.answered_at or watch.session.intended_at
        joined = [(one.joined_at - answered_at).total_seconds() * self._speed for one in present if one.joined_at]
        after = max([watch.empty_at, *(seconds for seconds in joined if seconds < by)])
        self._seen.append(Sighting(after=after, by=by))
        self._sightings = Sightings.of(self._seen)

    # --- other evidence --------------------------------------------------------------------------------------------

    async def _records(self, watches: Sequence[_Watch]) -> None:
        """One list shows the records of all."""
        first = watches[0].session
        agent = self._remotes.agent(first.agent_kind, first.agent_address)
        if not isinstance(agent, PipecatCloudClient):
            return
        oldest = min(watch.session.intended_at for watch in watches)
        try:
            records = await agent.list_sessions(since=oldest - CREATED_SLACK, active_only=False)
        except OrchestratorError as error:
            self._trouble = f"; the last look failed: {error}"
            return
        finally:
            self._listing = False
        self._trouble = ""
        by_id = {record.session_id: record for record in records}
        self._remotes.recorded.update(by_id)
        for watch in watches:
            record = by_id.get(watch.session.session_id or "")
            if record is not None and record.ended_at is not None:
                why = f"its session ended before any call ({record.completion or 'no reason given'})"
                await self._lose(watch.run, why)
            elif record is not None and record.bot_started:
                await self._all_ready([watch], Evidence.RECORD)

    async def _probe(self, watch: _Watch) -> None:
        session = watch.session
        report = await probe_room(
            session.room_url or "", session.meeting_token, deadline=self._roster.plan.timeouts.ready
        )
        if report.bot_ready or report.participants:
            await self._all_ready([watch], Evidence.PROBE)

    async def _settle(self, watch: _Watch) -> None:
        if watch.session.answered_at is not None and self._seconds(watch) >= self._roster.plan.readiness.settle:
            await self._all_ready([watch], Evidence.SETTLE)

    # --- what follows ----------------------------------------------------------------------------------------------

    async def _all_ready(self, watches: Iterable[_Watch], evidence: Evidence) -> None:
        fact = BotReady(at=self._clock.now(), evidence=evidence)
        await asyncio.gather(
            *(
                self._roster.apply(watch.run.run_id, fact, also=partial(_record_ready, watch, fact))
                for watch in watches
                if self._still_waits(watch)
            )
        )

    def _still_waits(self, watch: _Watch) -> bool:
        """False where another look was faster, or the session was given up while this one was made."""
        run = self._roster.runs[watch.run.run_id]
        return run.nonce == watch.session.nonce and run.status is RunStatus.STARTED

    async def _give_up_overdue(self) -> None:
        patience = self._roster.plan.timeouts.ready
        for watch in list(self._watches.values()):
            if self._seconds(watch) > patience:
                missed = f"the bot did not join its room within {patience:.0f} s"
                unseen = f"nobody could see whether the bot joined its room within {patience:.0f} s{self._trouble}"
                await self._lose(watch.run, unseen if self._trouble else missed)

    async def _lose(self, run: Run, reason: str) -> None:
        await self._roster.apply(run.run_id, SessionLost(at=self._clock.now(), reason=reason))

    def _seconds(self, watch: _Watch) -> float:
        """Real seconds since the start answer."""
        began = watch.session.answered_at or watch.session.intended_at
        return (self._clock.now() - began).total_seconds()

    def _age(self, watch: _Watch) -> float:
        """The plan's seconds since the start answer."""
        return self._seconds(watch) * self._speed


def _record_ready(watch: _Watch, fact: BotReady, connection: Any) -> Session:
    """Write down the evidence, and which key was shown the room: after a crash only that key's 404 proves its end."""
    nonce = watch.session.nonce
    session = session_rows.record_ready(connection, nonce, at=fact.at, evidence=fact.evidence)
    if watch.client is None:
        return session
    return session_rows.record_room_seen(connection, nonce, by=watch.client.fingerprint)
