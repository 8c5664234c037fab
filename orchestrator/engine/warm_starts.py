"""Starts the sessions of one pool: each an intent row first, then one call. What it lost, the reaper looks for.

After a refusal or a loss the next start goes alone and later, so that an agent in trouble costs few requests and fewer
sessions. An agent that is gone, or a key that is wrong, is asked again rarely, and the pool says why it is empty.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.budget import SharedLimits
from orchestrator.domain.errors import Conflict, OrchestratorError, RemoteBusy, RemoteError
from orchestrator.domain.observation import AgentRecord, StartedSession
from orchestrator.domain.pool import GATHER, TEARDOWN_GRACE, PoolSpec
from orchestrator.domain.retry import hold_off_seconds
from orchestrator.domain.session import End, Session, SessionStatus, Teardown
from orchestrator.engine.ledger import Ledger
from orchestrator.engine.remotes import AgentClient, Remotes, sentence
from orchestrator.engine.roster import Sure
from orchestrator.engine.start_call import (
    DEFAULT_SESSION_LIMIT,
    SHARED_ROOM,
    Lost,
    Refused,
    RefusedForNow,
    StartAnswer,
    agent_record,
    call_start,
    is_shared,
    new_nonce,
    record_named,
    record_started,
    start_bound,
    start_request,
)
from orchestrator.engine.teardown import SHARED
from orchestrator.plans.rooms import room_seconds_of
from orchestrator.store import sessions as session_rows
from orchestrator.store import warm_sessions as warm_rows

LONGEST_WAIT: Final = 60.0
RETRY_GONE: Final = 300.0  # seconds until a start that was refused for good is tried again: somebody may have mended it
RECORD_HOLDS: Final = 300.0  # seconds for which the agent's own record is not asked for again
STALE_SECONDS: Final = 10.0  # an intent that waited longer for the state is not sent
WAITED: Final = "the state could not be written when it was to be sent"
TAKEN: Final = "its session was taken for one whose start answer was lost, and is stopped as that one"
TOO_LARGE: Final = (
    "the agent takes {most} sessions at once, and max_alive is {asked}: lower max_alive, or raise the agent's"
)
TOO_SHORT: Final = (
    "Pipecat Cloud ends the agent's sessions after {limit:.0f} s, and ready and run alone need {needed:.0f} s: raise "
    "maxSessionDuration, or lower them"
)


class WarmStarts:
    """The starts of one pool, and how they go. `under_way` are those whose call is being made.

    `sure` is asked before each call: False where this worker no longer owns what it owned. `shared` is what all batches
    and pools may take. `trouble` is why the pool is not filled: empty once a bot came, None while nothing is known yet.
    """

    def __init__(
        self,
        *,
        pool: str,
        ledger: Ledger,
        remotes: Remotes,
        clock: Clock,
        place: str,
        worker_id: str,
        speed: float,
        sure: Sure,
        shared: SharedLimits,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._remotes = remotes
        self._clock = clock
        self._place = place
        self._worker_id = worker_id
        self._speed = speed
        self._sure = sure
        self._shared = shared
        self._failures = 0
        self._proven = False
        self._hold_until = float("-inf")
        self._defined_at: datetime | None = None  # the definition that `trouble` is of
        self._record: AgentRecord | None = None
        self._record_of: AgentClient | None = None
        self._record_until = float("-inf")
        self.under_way: set[str] = set()
        self.trouble: str | None = None

    @property
    def alone(self) -> bool:
        """Whether no two starts may be under way: the first, and those after a failure."""
        return self._failures > 0 or not self._proven

    @property
    def held_off(self) -> bool:
        """Whether no start is to be made now."""
        return self._clock.monotonic() < self._hold_until

    def anew(self, at: datetime) -> None:
        """The pool was defined anew then: how starts of before went, or will, says nothing of those to come."""
        self._failures, self._proven, self.trouble = 0, False, None
        self._hold_until = float("-inf")
        self._defined_at = at

    def came(self) -> None:
        """A bot came: the agent works."""
        self._failures, self._proven, self.trouble = 0, True, ""

    def failed(self, trouble: str, *, told: float | None = None) -> None:
        """A start came to nothing: wait longer each time. `told` are the seconds that the remote asks for."""
        self._failures += 1
        self.trouble = trouble
        wait = hold_off_seconds(self._failures, told=told, longest=LONGEST_WAIT, patience=RETRY_GONE, speed=self._speed)
        self._hold_until = self._clock.monotonic() + wait
        logger.info("a start for a pool came to nothing", pool=self._pool, reason=trouble, wait=round(wait, 1))

    def _gone(self, trouble: str) -> None:
        if trouble != self.trouble:
            logger.warning("a pool cannot be filled", pool=self._pool, reason=trouble)
        self._failures += 1
        self.trouble = trouble
        self._hold_until = self._clock.monotonic() + RETRY_GONE / self._speed

    async def begin(self, spec: PoolSpec, tasks: asyncio.TaskGroup) -> bool:
        """Commit the intent to start one session, and make its call in the background; False where none may be."""
        try:
            agent = self._remotes.agent(spec.agent.kind, spec.agent.address)
        except OrchestratorError as error:
            self._gone(sentence(error))
            return False
        record = await self._agent_record(agent)
        obstacle = _obstacle(spec, record)
        if obstacle:
            self._gone(obstacle)
            return False
        session = self._intent(spec, record)
        intent = partial(
            warm_rows.record_warm_intent,
            session=session,
            worker_id=self._worker_id,
            most=spec.max_alive,
            shared=self._shared,
        )
        if not await self._ledger.write(intent):
            return False
        self.under_way.add(session.nonce)
        self._remotes.starting.add(session.nonce)
        tasks.create_task(self._start(spec, agent, session), name=f"start {session.nonce}")
        return True

    async def _agent_record(self, agent: AgentClient) -> AgentRecord | None:
        if agent is not self._record_of or self._clock.monotonic() >= self._record_until:
            self._record, self._record_of = await agent_record(agent), agent
            self._record_until = self._clock.monotonic() + RECORD_HOLDS / self._speed
        return self._record

    def _intent(self, spec: PoolSpec, record: AgentRecord | None) -> Session:
        now = self._clock.now()
        seconds = room_seconds_of(
            ready=spec.ready + spec.max_age, run=spec.run, gather=GATHER, teardown_grace=TEARDOWN_GRACE
        )
        room_expires_at = now + timedelta(seconds=seconds)
        ends_by, ends_at = start_bound(
            spec.agent.kind, now=now, room_expires_at=room_expires_at, session_limit=_session_limit(record)
        )
        return Session(
            nonce=new_nonce(self._place),
            batch_id="",
            run_id="",
            attempt=0,
            agent_kind=spec.agent.kind,
            agent_address=spec.agent.address,
            status=SessionStatus.INTENT,
            intended_at=now,
            ends_by=ends_by,
            ends_at=ends_at,
            room_expires_at=room_expires_at,
            pool=self._pool,
        )

    async def _start(self, spec: PoolSpec, agent: AgentClient, session: Session) -> None:
        """Commit that a session is sent, make its one start call, and give its answer a meaning."""
        try:
            now = self._clock.now()
            sent = partial(warm_rows.record_warm_sent, nonce=session.nonce, worker_id=self._worker_id, at=now)
            if await self._ledger.write(sent) is None:
                return  # condemned, or another worker's pool by now: it never will be
            if not await self._sure():
                return  # whoever keeps the pool now condemns what this start might have made
            if self._clock.now() - session.intended_at > timedelta(seconds=STALE_SECONDS):
                await self._refused(session, WAITED)
                return
            request = start_request(spec.agent, session, body=spec.agent.body, mark={"pool": self._pool})
            await self._heard(session, await call_start(agent, request))
        finally:
            self.under_way.discard(session.nonce)
            self._remotes.starting.discard(session.nonce)

    async def _heard(self, session: Session, answer: StartAnswer) -> None:
        match answer:
            case StartedSession():
                await self._answered(session, answer)
            case Lost():
                await self._lost(session, answer)
            case Refused(error=error) | RefusedForNow(error=error):
                await self._refused(session, sentence(error))
        if self._defined_at is None or session.intended_at >= self._defined_at:
            self._conclude(answer)

    def _conclude(self, answer: StartAnswer) -> None:
        match answer:
            case Refused(error=refusal):
                self._gone(sentence(refusal))
            case RefusedForNow(error=error) | Lost(error=error):
                self.failed(sentence(error), told=_told(error))

    async def _refused(self, session: Session, reason: str) -> None:
        note = partial(session_rows.record_status, nonce=session.nonce, status=SessionStatus.REFUSED, note=reason)
        await self._ledger.write(note)

    async def _lost(self, session: Session, lost: Lost) -> None:
        """It is condemned at once: nobody waits for it, and the reaper looks for it by its mark."""
        now, note = self._clock.now(), f"its start answer was lost ({lost.error})"
        if lost.session_id is not None:
            await self._ledger.write(record_named(session, session_id=lost.session_id, room_url=None, at=now))
            await self._condemn(session, note)
        else:
            await self._ledger.write(partial(warm_rows.record_lost, nonce=session.nonce, at=now, note=note))

    async def _answered(self, session: Session, started: StartedSession) -> None:
        now = self._clock.now()
        try:
            row = await self._ledger.write(record_started(session, started, at=now))
        except Conflict:
            # A lookup took this session for another's lost one, and stops it under that row.
            await self._ledger.write(record_named(session, session_id=None, room_url=started.room_url, at=now))
            await self._condemn(session, TAKEN)
            return
        others = await self._ledger.read(partial(warm_rows.list_kept, pool=self._pool))
        if await is_shared(self._remotes, row, started.room_url, others=others):
            await self._give_up_shared_room(row, now)

    async def _give_up_shared_room(self, session: Session, now: datetime) -> None:
        kept = partial(
            session_rows.record_ends,
            nonce=session.nonce,
            session_end=End(),
            room_end=End(state=Teardown.BOUNDED, how=SHARED),
            again_at=now,
        )
        await self._ledger.write(kept)
        await self._condemn(session, SHARED_ROOM)
        self._gone(SHARED_ROOM)

    async def _condemn(self, session: Session, reason: str) -> None:
        condemn = partial(warm_rows.retire, nonce=session.nonce, at=self._clock.now(), reason=reason)
        await self._ledger.write(condemn)


def _obstacle(spec: PoolSpec, record: AgentRecord | None) -> str:
    """Why the agent's platform can never give what the pool asks for; empty where nothing says so."""
    if record is not None and record.max_sessions is not None and spec.max_alive > record.max_sessions:
        return TOO_LARGE.format(most=record.max_sessions, asked=spec.max_alive)
    limit, needed = _session_limit(record), spec.ready + GATHER + spec.run + TEARDOWN_GRACE
    return TOO_SHORT.format(limit=limit, needed=needed) if record is not None and needed >= limit else ""


def _session_limit(record: AgentRecord | None) -> float:
    return (record.max_session_seconds if record is not None else None) or DEFAULT_SESSION_LIMIT


def _told(error: RemoteError) -> float | None:
    return error.retry_after if isinstance(error, RemoteBusy) else None
