"""The rows of one batch as this process last committed them, and the one place where a fact is applied to a run.

Memory follows the commit, never leads it. Whoever waits for a change takes a bell; changes ring all bells, at most a
hundred times a second, so that many changes cost no more wakings than few.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any, Final, TypeVar

from orchestrator.clock import Clock
from orchestrator.domain.batch import Batch
from orchestrator.domain.budget import NO_LIMITS, SharedLimits
from orchestrator.domain.errors import Conflict
from orchestrator.domain.observation import AcceptedSubmission
from orchestrator.domain.plan import Plan
from orchestrator.domain.run import FINAL, Fact, Patience, Run, RunStatus, StartIntended, Step, next_step
from orchestrator.domain.session import Session
from orchestrator.engine.census import RunCensus, SessionCensus
from orchestrator.engine.ledger import BatchLedger
from orchestrator.engine.observer import NOBODY, Observer
from orchestrator.store import runs as run_rows
from orchestrator.store import sessions as session_rows

T = TypeVar("T")
CALL_ENDED: Final = "call ended"
RINGS_APART: Final = 0.01  # seconds
EndCall = Callable[[Run], Awaitable[None]]
Listener = Callable[[Run, Run], None]
Sure = Callable[[], Awaitable[bool]]
# A unit of work that changes one session row; only the store looks inside the connection it is given.
SessionUnit = Callable[[Any], Session]
# One that gives a run a session: the session as it is now, and each step of the run.
Taking = Callable[..., tuple[Session, tuple[Run, ...]] | None]


class Roster:
    """One batch's runs and sessions; `listener` hears each committed step (run before, run after).

    `sure` is asked before every paid call: False where this worker no longer owns what it owned. `shared` is what all
    batches may take together.
    """

    def __init__(
        self,
        *,
        batch: Batch,
        plan: Plan,
        runs: Iterable[Run],
        sessions: Iterable[Session],
        ledger: BatchLedger,
        clock: Clock,
        end_call: EndCall,
        listener: Listener,
        sure: Sure,
        shared: SharedLimits = NO_LIMITS,
        observer: Observer = NOBODY,
    ) -> None:
        self.batch = batch
        self.plan = plan
        self._ledger = ledger
        self._clock = clock
        self._end_call = end_call
        self._listener = listener
        self.sure = sure
        self.shared = shared
        self.observer = observer
        self._patience = Patience(retries=plan.infrastructure_retries)
        self._bells: list[asyncio.Event] = []
        self._alarms: list[asyncio.Event] = []
        self._news = asyncio.Event()
        self._toll: asyncio.TimerHandle | None = None
        self._tolled_at = float("-inf")  # by the loop's clock
        self.closing = False  # nothing new is started or submitted any more
        self.posting: set[str] = set()  # sessions in a POST whose meaning is not known yet: a call may be under way
        self.doomed: dict[str, Session] = {}  # condemned in memory only, because the state could not be written
        self.unrecorded: dict[str, Session] = {}  # ends that could not be written: for the eye, never believed
        self.answered: dict[str, AcceptedSubmission] = {}  # what Cekura made of submissions, until it is written
        self._heard: dict[str, Session] = {}  # sessions as an answer named them that could not be written yet
        self.reset(runs=runs, sessions=sessions)
        observer.resumed(self.runs.values(), self.sessions.values())

    def reset(self, *, runs: Iterable[Run], sessions: Iterable[Session]) -> None:
        """Believe the rows, whatever was believed before."""
        self.runs = {run.run_id: run for run in runs}
        self.sessions = {session.nonce: session for session in sessions}
        self._census = RunCensus(self.runs.values())
        self._held = SessionCensus(self.sessions.values())
        self.statuses = self._census.counts
        self._locks: dict[str, asyncio.Lock] = {}
        self._over = asyncio.Event()
        self.alarm()

    def bell(self) -> Bell:
        """A bell of one's own, rung soon after every change."""
        event = asyncio.Event()
        self._bells.append(event)
        return Bell(event)

    def alarm_bell(self) -> Bell:
        """A bell of one's own that no ordinary change rings."""
        event = asyncio.Event()
        self._alarms.append(event)
        return Bell(event)

    def news_bell(self) -> Bell:
        """The bell of whoever polls Cekura; a poke rings it, and the end of the last run."""
        return Bell(self._news)

    def poke(self) -> None:
        """Cekura is said to have news of this batch: the next poll need not wait for its time."""
        self._news.set()

    def ring(self) -> None:
        """Wake everybody who waits for a change: now, or as soon as the last waking is RINGS_APART ago."""
        if self._toll is None:
            loop = asyncio.get_running_loop()
            self._toll = loop.call_at(max(loop.time(), self._tolled_at + RINGS_APART), self._ring_now, loop)

    def alarm(self) -> None:
        """Wake everybody, also those whom changes do not concern: the batch may have to end."""
        for event in self._alarms:
            event.set()
        self.ring()

    def _ring_now(self, loop: asyncio.AbstractEventLoop) -> None:
        self._toll, self._tolled_at = None, loop.time()
        for event in self._bells:
            event.set()

    def of_status(self, *statuses: RunStatus) -> list[Run]:
        """The runs in these states, in the order of the plan."""
        return self._census.of_status(self.runs, *statuses)

    def first(self, status: RunStatus) -> Run | None:
        """The first run of the plan in this state; costs the same however many there are."""
        return self._census.first(self.runs, status)

    def count(self, *statuses: RunStatus) -> int:
        """How many runs are in these states; costs the same however many there are."""
        return sum(self.statuses[status] for status in statuses)

    def session_of(self, run: Run) -> Session | None:
        """The run's current session."""
        return self.sessions.get(run.nonce) if run.nonce else None

    @property
    def finished(self) -> bool:
        """True when every run has its outcome."""
        return self.count(*FINAL) == len(self.runs)

    async def rest(self, seconds: float) -> None:
        """Sleep, but not beyond the moment when every run has its outcome."""
        if not self.finished:
            try:
                async with asyncio.timeout(seconds):
                    await self._over.wait()
            except TimeoutError:
                pass

    @property
    def torn_down(self) -> bool:
        """True when every session and room is confirmed gone, or bounded and named."""
        return self._held.torn_down

    def sessions_held(self) -> int:
        """How many sessions count against the session budget now; costs the same however many there are."""
        return self._held.held(self._clock.now())

    def put(self, session: Session) -> None:
        """Take note of a session row that was committed elsewhere."""
        if session.batch_id == self.batch.batch_id:
            self._keep(session)
            self.unrecorded.pop(session.nonce, None)
            self.ring()

    def _keep(self, session: Session) -> None:
        before, self.sessions[session.nonce] = self.sessions.get(session.nonce), session
        self._held.note(session)
        self.observer.session_moved(before, session)

    def hear(self, session: Session) -> None:
        """Remember what an answer said of a session, in case it cannot be written for a while."""
        self._heard[session.nonce] = session

    def doom(self, run: Run, reason: str) -> None:
        """Condemn the session of a run in memory: the state cannot be written, and the session need not live."""
        session = self._heard.get(run.nonce or "") or self.session_of(run)
        known = self.doomed.get(session.nonce) if session is not None else None
        # An answer may have named meanwhile what had to be doomed without a name.
        if session is not None and (known is None or known.session_id != session.session_id):
            self.doomed[session.nonce] = replace(session, condemned_for=reason)

    def doomed_sessions(self) -> list[Session]:
        """The doomed that no row says are torn down."""
        known = self.sessions
        return [one for nonce, one in self.doomed.items() if nonce not in known or not known[nonce].torn_down]

    async def write_session(self, unit: SessionUnit) -> Session:
        """Commit a unit that changes one session row, and take note of it."""
        session = await self._ledger.write(unit)
        self.put(session)
        return session

    async def write_unit(self, unit: Callable[[Any], T]) -> T:
        """Commit a unit whose effect on the batch's rows this roster need not see."""
        return await self._ledger.write(unit)

    async def read(self, query: Callable[[Any], T]) -> T:
        """Run a query on the store."""
        return await self._ledger.read(query)

    async def write_late(self, unit: SessionUnit) -> None:
        """Commit what an answer said of a session, although another worker drives this batch now."""
        await self._ledger.write_late(unit)

    def leave_word(self, unit: SessionUnit) -> None:
        """The same for whoever is told to let go while its answer waits for the state: nobody waits for the commit."""
        self._ledger.leave_word(unit)

    async def check_owned(self) -> None:
        """Disowned where another worker drives this batch now."""
        await self._ledger.check()

    async def begin(self, run: Run, session: Session, *, soon: int = 0) -> bool:
        """Commit the intent to start a session for `run`, with the budget it takes; False when the budget is full.

        `soon`: how many calls will have ended by the time its bot is ready.
        """
        async with self._lock(run.run_id):
            believed = self.runs[run.run_id]
            step = next_step(believed, StartIntended(at=session.intended_at, nonce=session.nonce), self._patience)
            if step.run is believed:
                return False
            most = self.plan.limits.concurrency

            def unit(connection: Any) -> bool:
                taken = session_rows.record_intent(connection, session, most=most, shared=self.shared, soon=soon)
                return taken and _swapped(connection, step.run, believed)

            taken = await self._ledger.write(unit)
            if taken:
                self._keep(session)
                self._put_run(believed, step.run)
            return taken

    async def take(self, run: Run, unit: Taking) -> Session | None:
        """Commit that `run` is given a session that was started for nobody, by a unit that finds one; None without."""
        async with self._lock(run.run_id):
            believed = self.runs[run.run_id]
            if believed.status is not RunStatus.PLANNED:
                return None
            taken = await self._ledger.write(partial(unit, run=believed))
            if taken is None:
                return None
            session, steps = taken
            self._keep(session)
            for before, after in pairwise((believed, *steps)):
                self._put_run(before, after)
            return session

    async def apply(self, run_id: str, fact: Fact, *, also: SessionUnit | None = None) -> Step:
        """Apply one fact to one run: decide, end its call if that was decided, commit run and session as one unit.

        `also` changes the run's session in the same unit, whatever the fact changes.
        """
        async with self._lock(run_id):
            believed = self.runs[run_id]
            step = next_step(believed, fact, self._patience)
            if step.end_call:
                await self._end_call(believed)
            if step.run is not believed or also is not None:
                session = await self._ledger.write(partial(self._unit, believed, step, also))
                if session is not None:
                    self._keep(session)
                self._put_run(believed, step.run)
            return step

    async def apply_all(self, facts: Mapping[str, Fact], also: Callable[[Any], T | None]) -> T | None:
        """Apply a fact to each of many runs, and `also`, as one unit; returns what `also` gave.

        None where it gave None: then nothing of it was committed. Ends calls of none of them: the caller sees to that.
        """
        async with AsyncExitStack() as locks:
            for run_id in facts:
                await locks.enter_async_context(self._lock(run_id))
            steps = [
                (self.runs[run_id], next_step(self.runs[run_id], fact, self._patience))
                for run_id, fact in facts.items()
            ]
            moved = [(believed, step) for believed, step in steps if step.run is not believed]

            def unit(connection: Any) -> T | None:
                value = also(connection)
                if value is not None:
                    for believed, step in moved:
                        self._unit(believed, step, None, connection)
                return value

            value = await self._ledger.write(unit)
            if value is not None:
                for believed, step in moved:
                    self._put_run(believed, step.run)
            return value

    def changes(self, run_id: str, fact: Fact) -> bool:
        """False where applying the fact now would certainly change nothing: most of what a poll shows."""
        lock, believed = self._locks.get(run_id), self.runs[run_id]
        if lock is not None and lock.locked():
            return True
        step = next_step(believed, fact, self._patience)
        return step.run is not believed or step.end_call

    def _lock(self, run_id: str) -> asyncio.Lock:
        lock = self._locks.get(run_id)
        if lock is None:
            lock = self._locks[run_id] = asyncio.Lock()
        return lock

    def _unit(self, believed: Run, step: Step, also: SessionUnit | None, connection: Any) -> Session | None:
        if step.run is not believed:
            _swapped(connection, step.run, believed)
        session = also(connection) if also is not None else None
        if step.condemn is not None and believed.nonce is not None and not self._condemned(believed.nonce):
            session = session_rows.record_condemned(
                connection,
                believed.nonce,
                at=self._clock.now(),
                reason=step.condemn,
                teardown_from=self._clock.now() + self._grace(step.condemn),
            )
        return session

    def _condemned(self, nonce: str) -> bool:
        """Whether its row was committed as condemned: that is once and for all."""
        session = self.sessions.get(nonce)
        return session is not None and session.condemned_at is not None

    def _grace(self, reason: str) -> timedelta:
        """A call that ended by itself leaves its bot a moment for its own finalisation; nothing else waits."""
        return timedelta(seconds=self.plan.timing.teardown_grace if reason == CALL_ENDED else 0)

    def _put_run(self, before: Run, after: Run) -> None:
        if after is not before:
            self.runs[after.run_id] = after
            self._census.move(before, after)
            self._listener(before, after)
            self.observer.heard(before, after)
            if after.status.final:
                self._locks.pop(after.run_id, None)
            if self.finished:
                self._over.set()
                self._news.set()
                self.alarm()
        self.ring()


class Bell:
    """Waits for a change, or for a time, whichever comes first."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    async def wait(self, seconds: float) -> None:
        """Return at the next ring (or at once, if it rang since the last wait), at latest after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass
        self._event.clear()


def _swapped(connection: Any, run: Run, believed: Run) -> bool:
    if not run_rows.record_run(connection, run, believed=believed):
        raise Conflict(f"run {run.run_id} was changed by somebody else")
    return True
