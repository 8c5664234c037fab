"""Starts sessions: just in time, paced, within both budgets, the first of a batch alone.

Just in time means that the bot is ready when a call slot frees, as far as the batch has shown when that will be.

Each start is an intent row first; the call itself is `start_call`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.budget import CallBudget, plan_starts
from orchestrator.domain.errors import Conflict, Disowned, InvalidPlan, RemoteBusy, RemoteError
from orchestrator.domain.observation import StartedSession, StartRequest
from orchestrator.domain.retry import hold_off_seconds
from orchestrator.domain.run import Fact, NeverStarted, Run, RunStatus, SessionLost, SessionStarted, StartRefused
from orchestrator.domain.session import End, Session, SessionStatus, Teardown
from orchestrator.engine.acquisition import Acquisition
from orchestrator.engine.foresight import Foresight
from orchestrator.engine.outage import LET_GO
from orchestrator.engine.ramping import Ramping
from orchestrator.engine.remotes import Remotes, sentence
from orchestrator.engine.roster import Roster, SessionUnit
from orchestrator.engine.start_call import (
    SHARED_ROOM,
    Lost,
    Refused,
    RefusedForNow,
    StartAnswer,
    call_start,
    is_shared,
    new_nonce,
    record_named,
    record_started,
    start_bound,
    start_request,
)
from orchestrator.engine.teardown import SHARED
from orchestrator.plans import render_run, room_seconds
from orchestrator.store import sessions as session_rows

LONGEST_WAIT: Final = 15.0
STALE_SECONDS: Final = 10.0  # an intent that waited longer for the state is not sent: its room's expiry was set before
WAITED: Final = "the state could not be written when it was to be sent"
TAKEN: Final = "its session was taken for one whose start answer was lost, and is stopped as that one"
UNDER_WAY: Final = (
    RunStatus.STARTED,
    RunStatus.READY,
    RunStatus.SUBMITTED,
    RunStatus.IN_CALL,
    RunStatus.CALL_ENDED,
)
TOWARDS_CALL: Final = frozenset(
    {RunStatus.STARTING, RunStatus.STARTED, RunStatus.READY, RunStatus.SUBMITTED, RunStatus.IN_CALL}
)


class Starter:
    """Starts the sessions of one batch. `refuse` ends the batch before it costs anything, with the reason."""

    def __init__(
        self,
        *,
        roster: Roster,
        remotes: Remotes,
        clock: Clock,
        environ: Mapping[str, str],
        place: str,
        speed: float,
        session_limit: float,
        on_lost: Callable[[Session], None],
        refuse: Callable[[str], None],
        held_back: Callable[[], bool],
        ramping: Ramping,
    ) -> None:
        self._roster = roster
        self._remotes = remotes
        self._clock = clock
        self._environ = environ
        self._place = place
        self._speed = speed
        self._session_limit = session_limit
        self._on_lost = on_lost
        self._refuse = refuse
        self._held_back = held_back
        self._ramping = ramping
        self._agent = remotes.agent(roster.plan.agent.kind, roster.plan.agent.address)
        self._calls = CallBudget.of(roster.plan.limits, clock.now())
        self._foresight = Foresight(roster=roster, clock=clock)
        self._acquisition = Acquisition(roster=roster, remotes=remotes, clock=clock, speed=speed)
        self._proven = any(session.answered_at for session in roster.sessions.values())
        self._under_way: set[str] = set()
        self._hold_until = 0.0
        self._refusals = 0
        self._refused_since: float | None = None

    @property
    def calls(self) -> CallBudget:
        """The call budget as it stands now: where the plan has a ramp, at its level."""
        level = self._ramping.level()
        return self._calls if level is None else self._calls.at_level(level)

    @calls.setter
    def calls(self, calls: CallBudget) -> None:
        self._calls = calls

    def _calls_for_starts(self) -> CallBudget:
        """The same for a bot that is started now and joins later."""
        level = self._ramping.level_for_starts()
        return self._calls if level is None else self._calls.at_level(level)

    async def run(self) -> None:
        """Start sessions until no run needs one any more."""
        bell = self._roster.bell()
        async with asyncio.TaskGroup() as starts:
            while not self._roster.finished:
                if await self._take_one():
                    continue
                if await self._begin_one(starts):
                    await self._clock.sleep(1 / self._roster.plan.limits.starts_per_second)
                else:
                    await bell.wait(self._wait_seconds())

    def _wait_seconds(self) -> float:
        held = self._hold_until - self._clock.monotonic()
        if held > 0:
            return max(0.01, min(held, 1.0))
        return min(1.0, self._foresight.look_every) if self._roster.statuses[RunStatus.PLANNED] else 1.0

    async def _take_one(self) -> bool:
        """Give the next run a warm session, where its plan names a pool that has one; that is no start to be paced."""
        if self._roster.plan.agent.pool is None:
            return False
        run = self._due_run(0)
        if run is None:
            return False
        statuses = self._roster.statuses.copy()
        taken = await self._acquisition.take(run)
        if taken:
            self.calls = self.calls.exploring(run.run_id, statuses)
        return taken

    async def _begin_one(self, starts: asyncio.TaskGroup) -> bool:
        soon = self._soon()
        if soon > 0 and await self._acquisition.stocked():
            soon = 0  # a warm session is there when a slot frees
        run = self._next_run(soon)
        if run is None:
            return False
        statuses = self._roster.statuses.copy()
        session = self._intent(run)
        if not await self._roster.begin(run, session, soon=soon):
            return False
        self.calls = self.calls.exploring(run.run_id, statuses, soon=soon)
        self._remotes.starting.add(session.nonce)
        self._under_way.add(session.nonce)
        starts.create_task(self._start(self._roster.runs[run.run_id], session), name=f"start {session.nonce}")
        return True

    def _soon(self) -> int:
        """How many call slots will be free in time for a bot started now; not asked for while one is free anyway."""
        limits, statuses = self._roster.plan.limits, self._roster.statuses
        if not statuses[RunStatus.PLANNED] or self._calls_for_starts().free(statuses) > 0:
            return 0
        if self._roster.sessions_held() >= limits.concurrency:
            return 0
        return self._foresight.freed(self.calls.rule).at_least(self._roster.plan.prefer.confidence)

    def _next_run(self, soon: int) -> Run | None:
        if self._clock.monotonic() < self._hold_until:
            return None
        if not self._proven and self._under_way:
            return None  # the first start goes alone: a wrong key or name must not cost a burst of requests
        return self._due_run(soon)

    def _due_run(self, soon: int) -> Run | None:
        """The run that should have a session now, by both budgets."""
        first = self._roster.first(RunStatus.PLANNED)
        if first is None or self._roster.closing or self._held_back():
            return None
        self._release_explorer()
        self.calls = self.calls.rested(at=self._clock.now())
        due = plan_starts(
            planned=self._roster.count(RunStatus.PLANNED),
            statuses=self._roster.statuses,
            calls=self._calls_for_starts(),
            soon=soon,
            sessions_held=self._roster.sessions_held(),
            limits=self._roster.plan.limits,
        )
        return first if due else None

    def _release_explorer(self) -> None:
        """An explorer that lost its session before any call teaches nothing; another may go."""
        explorer = self.calls.explorer
        if explorer is not None and self._roster.runs[explorer].status not in TOWARDS_CALL:
            self.calls = self.calls.without(explorer)

    def _intent(self, run: Run) -> Session:
        plan, now = self._roster.plan, self._clock.now()
        room_expires_at = now + timedelta(seconds=room_seconds(plan))
        ends_by, ends_at = start_bound(
            plan.agent.kind, now=now, room_expires_at=room_expires_at, session_limit=self._session_limit
        )
        return Session(
            nonce=new_nonce(self._place),
            batch_id=run.batch_id,
            run_id=run.run_id,
            attempt=run.attempt + 1,
            agent_kind=plan.agent.kind,
            agent_address=plan.agent.address,
            status=SessionStatus.INTENT,
            intended_at=now,
            ends_by=ends_by,
            ends_at=ends_at,
            room_expires_at=room_expires_at,
        )

    def _request(self, run: Run, session: Session) -> StartRequest:
        plan = self._roster.plan
        rendered = render_run(
            plan,
            scenario=plan.scenarios[run.scenario_position],
            run_id=run.run_id,
            run_index=run.index,
            batch_id=run.batch_id,
            environ=self._environ,
        )
        mark = {"run": run.run_id, "batch": run.batch_id}
        return start_request(plan.agent, session, body=rendered.body, mark=mark)

    async def _start(self, run: Run, session: Session) -> None:
        """Commit that a session is sent, make its one start call, and give its answer a meaning."""
        try:
            request = self._request(run, session)
            sent = partial(session_rows.record_sent, nonce=session.nonce, at=self._clock.now())
            row = await self._roster.write_unit(sent)
            if row is None:
                return  # condemned, or its batch cancelled, before it was sent: it never will be
            if not await self._roster.sure():
                return  # whoever drives the batch now looks for what this start might have made
            if self._stale(session):
                await self._not_sent(run, session)
                return
            self._roster.put(row)
            await self._heard(run, session, await call_start(self._agent, request))
        except InvalidPlan as error:
            await self._refused(run, session, sentence(error))
        finally:
            self._remotes.starting.discard(session.nonce)
            self._under_way.discard(session.nonce)
            self._roster.ring()

    async def _heard(self, run: Run, session: Session, answer: StartAnswer) -> None:
        match answer:
            case StartedSession():
                await self._answered(run, session, answer)
            case RefusedForNow(error=error):
                await self._refused_for_now(run, session, error)
            case Refused(error=refusal):
                await self._refused(run, session, sentence(refusal))
            case Lost():
                await self._lost(run, session, answer)

    def _stale(self, session: Session) -> bool:
        """True where the state kept the intent waiting: its room would expire too early, or nobody wants it now."""
        waited = (self._clock.now() - session.intended_at).total_seconds()
        return self._roster.closing or session.nonce in self._roster.doomed or waited > STALE_SECONDS

    async def _not_sent(self, run: Run, session: Session) -> None:
        fact = StartRefused(at=self._clock.now(), reason=WAITED, for_now=True)
        await self._roster.apply(run.run_id, fact, also=_refusal(session, WAITED))

    async def _refused(self, run: Run, session: Session, reason: str) -> None:
        if not self._proven:
            self._refuse(reason)
        fact = StartRefused(at=self._clock.now(), reason=reason, for_now=False)
        await self._roster.apply(run.run_id, fact, also=_refusal(session, reason))

    async def _refused_for_now(self, run: Run, session: Session, error: RemoteError) -> None:
        """Wait and ask again; when nothing of ours is under way, only for as long as the plan waits for capacity."""
        reason = sentence(error)
        self._hold_off(error)
        self._ramping.note_refused(error)
        fact = StartRefused(at=self._clock.now(), reason=reason, for_now=True)
        await self._roster.apply(run.run_id, fact, also=_refusal(session, reason))
        if any(self._roster.statuses[status] for status in UNDER_WAY):
            self._refused_since = None  # our own sessions fill the agent; their end makes room
            return
        self._refused_since = self._refused_since or self._clock.monotonic()
        waited = self._clock.monotonic() - self._refused_since
        if waited >= self._roster.plan.timeouts.capacity:
            await self._give_up(f"{reason} (waited {waited:.0f} s)")

    async def _give_up(self, reason: str) -> None:
        for run in self._roster.of_status(RunStatus.PLANNED):
            await self._roster.apply(run.run_id, NeverStarted(at=self._clock.now(), reason=reason))

    def _hold_off(self, error: RemoteError) -> None:
        self._refusals += 1
        told = error.retry_after if isinstance(error, RemoteBusy) else None
        wait = hold_off_seconds(
            self._refusals,
            told=told,
            longest=LONGEST_WAIT,
            patience=self._roster.plan.timeouts.capacity,
            speed=self._speed,
        )
        self._hold_until = self._clock.monotonic() + wait
        logger.info("start refused for now", error=str(error), wait=wait)

    async def _lost(self, run: Run, session: Session, lost: Lost) -> None:
        """Nobody knows what the start did; where the remote named a session all the same, that one is stopped."""
        if lost.session_id is not None:
            now = self._clock.now()
            answer = record_named(session, session_id=lost.session_id, room_url=None, at=now)
            await self._told(run, SessionLost(at=now, reason=sentence(lost.error)), answer)
            return
        note = f"its start answer was lost ({lost.error})"
        unit = partial(session_rows.record_status, nonce=session.nonce, status=SessionStatus.LOST, note=note)
        self._on_lost(await self._roster.write_session(unit))

    async def _answered(self, run: Run, session: Session, started: StartedSession) -> None:
        self._refusals, self._refused_since = 0, None
        self._roster.hear(_as_started(session, started))
        answer = record_started(session, started, at=self._clock.now())
        try:
            await self._told(run, SessionStarted(at=self._clock.now()), answer)
        except Conflict:
            await self._taken(run, session, started)
            return
        if session.nonce in self._roster.doomed:
            await self._roster.apply(run.run_id, SessionLost(at=self._clock.now(), reason=LET_GO))
            return
        if await is_shared(self._remotes, session, started.room_url, others=self._roster.sessions.values()):
            await self._give_up_shared_room(run, session)
        self._proven = True

    async def _told(self, run: Run, fact: Fact, answer: SessionUnit) -> None:
        """Write down what an answer said: with its id, whoever drives the batch by now can end the session."""
        try:
            await self._roster.apply(run.run_id, fact, also=answer)
        except Disowned:
            await self._roster.write_late(answer)
            raise
        except asyncio.CancelledError:
            self._roster.leave_word(answer)
            raise

    async def _taken(self, run: Run, session: Session, started: StartedSession) -> None:
        """A lookup took this session for another's lost one, and stops it under that row: the run begins anew."""
        now = self._clock.now()
        room_only = record_named(session, session_id=None, room_url=started.room_url, at=now)
        await self._roster.apply(run.run_id, SessionLost(at=now, reason=TAKEN), also=room_only)

    async def _give_up_shared_room(self, run: Run, session: Session) -> None:
        self._refuse(SHARED_ROOM)
        kept = End(state=Teardown.BOUNDED, how=SHARED)
        unit = partial(
            session_rows.record_ends,
            nonce=session.nonce,
            session_end=End(),
            room_end=kept,
            again_at=self._clock.now(),
        )
        await self._roster.apply(
            run.run_id, SessionLost(at=self._clock.now(), reason=SHARED_ROOM, retry=False), also=unit
        )


def _as_started(session: Session, started: StartedSession) -> Session:
    """The session as its answer names it, before any row does."""
    named = replace(session, session_id=started.session_id, room_url=started.room_url)
    return replace(named, status=SessionStatus.ALIVE)


def _refusal(session: Session, reason: str) -> SessionUnit:
    return partial(session_rows.record_status, nonce=session.nonce, status=SessionStatus.REFUSED, note=reason)
