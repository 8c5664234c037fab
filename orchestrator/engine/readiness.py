"""Waits until the bot is believed to be in its room, and says on what evidence.

A 200 from start does not prove that a bot ever ran. The first kind of evidence in the plan that can be had for a
session decides; a kind that cannot be had (no Daily key for that room, no private key) gives way to the next.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from orchestrator.clients.daily import DailyClient
from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.clients.probe import probe_room
from orchestrator.clock import Clock
from orchestrator.domain.errors import OrchestratorError, RemoteError
from orchestrator.domain.plan import Evidence
from orchestrator.domain.run import BotReady, Run, RunStatus, SessionLost
from orchestrator.domain.session import Session
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.roster import Roster
from orchestrator.store import sessions as session_rows

LOOK_EVERY: Final = 1.0
FEW_ROOMS: Final = 10  # room by room this costs 10 of Daily's 20 requests a second; above, one request asks for all


class Readiness:
    """Gathers evidence for the started sessions of one batch."""

    def __init__(self, *, roster: Roster, remotes: Remotes, clock: Clock, speed: float) -> None:
        self._roster = roster
        self._remotes = remotes
        self._clock = clock
        self._interval = LOOK_EVERY / speed
        self._trouble = ""  # why the last look showed nothing, where that was not the bot's doing
        self._asked_all_at: dict[DailyClient, float] = {}

    async def run(self) -> None:
        """Look again and again while any run may still need a session."""
        bell = self._roster.bell()
        while not self._roster.finished:
            waiting = self._waiting()
            if waiting:
                await self._look(waiting)
                await self._give_up_overdue()
                await self._roster.rest(self._interval)
            else:
                await self._give_up_overdue()
                await bell.wait(1.0)

    def _waiting(self) -> list[tuple[Run, Session]]:
        started = ((run, self._roster.session_of(run)) for run in self._roster.of_status(RunStatus.STARTED))
        return [(run, session) for run, session in started if session is not None and session.room_url]

    async def _look(self, waiting: list[tuple[Run, Session]]) -> None:
        by_presence: dict[DailyClient, list[tuple[Run, Session]]] = defaultdict(list)
        by_record: list[tuple[Run, Session]] = []
        singly: list[asyncio.Task[None]] = []
        for run, session in waiting:
            kind, client = await self._evidence_for(session)
            if kind is Evidence.PRESENCE and client is not None:
                by_presence[client].append((run, session))
            elif kind is Evidence.RECORD:
                by_record.append((run, session))
            elif kind is Evidence.PROBE:
                singly.append(asyncio.create_task(self._probe(run, session)))
            elif kind is Evidence.SETTLE:
                await self._settle(run, session)
        groups = [self._presence(client, group) for client, group in by_presence.items()]
        await asyncio.gather(*groups, self._records(by_record), *singly)

    async def _evidence_for(self, session: Session) -> tuple[Evidence | None, DailyClient | None]:
        for kind in self._roster.plan.readiness.evidence:
            if kind is Evidence.PRESENCE:
                try:
                    client = await self._remotes.daily_for(session.room_url or "")
                except RemoteError as error:
                    self._trouble = f"; the last look failed: {error}"
                    return None, None  # Daily is in trouble: look again rather than settle for less
                if client is not None:
                    return kind, client
            elif kind is not Evidence.RECORD or self._observable(session):
                return kind, None
        return None, None

    def _observable(self, session: Session) -> bool:
        agent = self._remotes.agent(session.agent_kind, session.agent_address)
        return agent.observable and session.session_id is not None

    async def _presence(self, client: DailyClient, group: list[tuple[Run, Session]]) -> None:
        names = {self._remotes.address(session.room_url or "").name: (run, session) for run, session in group}
        try:
            present = await self._rooms_with_somebody(client, list(names))
        except RemoteError as error:
            self._trouble = f"; the last look failed: {error}"
            return  # absence of an answer is not absence of a bot: look again
        self._trouble = ""
        await self._all_ready((names[name] for name in present if name in names), Evidence.PRESENCE)

    async def _rooms_with_somebody(self, client: DailyClient, names: list[str]) -> list[str]:
        if len(names) <= FEW_ROOMS:
            found = await asyncio.gather(*(client.presence(name) for name in names))
            return [name for name, participants in zip(names, found, strict=True) if participants]
        due = self._asked_all_at.get(client, float("-inf")) + self._roster.plan.timing.presence_interval
        if self._clock.monotonic() < due:
            return []
        self._asked_all_at[client] = self._clock.monotonic()
        return [name for name, participants in (await client.presence_all()).items() if participants]

    async def _records(self, group: list[tuple[Run, Session]]) -> None:
        if not group:
            return
        agent = self._remotes.agent(group[0][1].agent_kind, group[0][1].agent_address)
        oldest = min(session.intended_at for _, session in group)
        if not isinstance(agent, PipecatCloudClient):
            return
        try:
            records = await agent.list_sessions(since=oldest - timedelta(seconds=5), active_only=False)
        except OrchestratorError as error:
            self._trouble = f"; the last look failed: {error}"
            return
        self._trouble = ""
        by_id = {record.session_id: record for record in records}
        self._remotes.recorded.update(by_id)
        for run, session in group:
            record = by_id.get(session.session_id or "")
            if record is not None and record.ended_at is not None:
                await self._lose(run, f"its session ended before any call ({record.completion or 'no reason given'})")
            elif record is not None and record.bot_started:
                await self._all_ready([(run, session)], Evidence.RECORD)

    async def _probe(self, run: Run, session: Session) -> None:
        report = await probe_room(
            session.room_url or "", session.meeting_token, deadline=self._roster.plan.timeouts.ready
        )
        if report.bot_ready or report.participants:
            await self._all_ready([(run, session)], Evidence.PROBE)

    async def _settle(self, run: Run, session: Session) -> None:
        settle = timedelta(seconds=self._roster.plan.readiness.settle)
        if session.answered_at is not None and self._clock.now() - session.answered_at >= settle:
            await self._all_ready([(run, session)], Evidence.SETTLE)

    async def _all_ready(self, group: Iterable[tuple[Run, Session]], evidence: Evidence) -> None:
        now = self._clock.now()
        await asyncio.gather(
            *(
                self._roster.apply(
                    run.run_id,
                    BotReady(at=now, evidence=evidence),
                    also=partial(session_rows.record_ready, nonce=session.nonce, at=now, evidence=evidence),
                )
                for run, session in group
            )
        )

    async def _give_up_overdue(self) -> None:
        patience = timedelta(seconds=self._roster.plan.timeouts.ready)
        for run in self._roster.of_status(RunStatus.STARTED):
            session = self._roster.session_of(run)
            if session is not None and self._since_answer(session) > patience:
                seconds = f"{patience.total_seconds():.0f} s"
                missed = f"the bot did not join its room within {seconds}"
                unseen = f"nobody could see whether the bot joined its room within {seconds}{self._trouble}"
                await self._lose(run, unseen if self._trouble else missed)

    def _since_answer(self, session: Session) -> timedelta:
        answered: datetime = session.answered_at or session.intended_at
        return self._clock.now() - answered

    async def _lose(self, run: Run, reason: str) -> None:
        await self._roster.apply(run.run_id, SessionLost(at=self._clock.now(), reason=reason))
