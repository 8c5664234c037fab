"""Drives one batch over its rows, from wherever they stand to closed.

`drive` is a plain coroutine that may be run again after any crash: the rows say what is left. It returns when every run
has an outcome and every teardown is confirmed or bounded. It never raises for trouble with a remote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.batch import Batch, BatchStatus, count, gate_outcome
from orchestrator.domain.budget import NO_LIMITS, SharedLimits
from orchestrator.domain.errors import Disowned, OrchestratorError
from orchestrator.domain.observation import AcceptedSubmission
from orchestrator.domain.run import RunStatus
from orchestrator.domain.session import Session
from orchestrator.domain.verdict import Outcome
from orchestrator.engine.automated import AutomatedSubmitter
from orchestrator.engine.calls import CallEnds
from orchestrator.engine.closing import close_batch
from orchestrator.engine.departures import Departures
from orchestrator.engine.ending import HURRIED_SECONDS, Ending, Submits, end_runs
from orchestrator.engine.groups import first_error
from orchestrator.engine.labels import label_results
from orchestrator.engine.ledger import Ledger
from orchestrator.engine.membership import Membership
from orchestrator.engine.observer import NOBODY, Observer
from orchestrator.engine.outage import Outage
from orchestrator.engine.ramping import Ramping
from orchestrator.engine.readiness import Readiness
from orchestrator.engine.recovery import Recovery
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.roster import Listener, Roster
from orchestrator.engine.settlement import Settlement, give_up_submissions
from orchestrator.engine.start_call import platform_limit
from orchestrator.engine.starter import Starter
from orchestrator.engine.submitter import Submitter
from orchestrator.engine.watcher import Watcher
from orchestrator.plans import plan_from_document
from orchestrator.store import batches as batch_rows
from orchestrator.store import runs as run_rows
from orchestrator.store import sessions as session_rows
from orchestrator.store.database import Store

UNTIL_CALL_ENDED: Final = (
    RunStatus.STARTING,
    RunStatus.STARTED,
    RunStatus.READY,
    RunStatus.SUBMITTED,
    RunStatus.IN_CALL,
)
LAST_CALL_ENDS: Final = 10.0  # seconds for ends of calls that Cekura is slow to take


class Driver:
    """Drives batches; `rosters` shows those under way in this process.

    `condemned` is set when many sessions were condemned at once: the reaper need not wait for its next second.
    """

    def __init__(
        self,
        *,
        store: Store,
        remotes: Remotes,
        clock: Clock,
        environ: Mapping[str, str],
        random: Random,
        place: str,
        listener: Listener,
        condemned: asyncio.Event,
        membership: Membership,
        shared: SharedLimits = NO_LIMITS,
        observer: Observer = NOBODY,
    ) -> None:
        self._store = store
        self._shared = shared
        self._membership = membership
        self._ledger = Ledger(store, clock=clock)
        self._remotes = remotes
        self._clock = clock
        self._environ = environ
        self._random = random
        self._place = place
        self._listener = listener
        self._observer = observer
        self._condemned = condemned
        self._hurried = False
        self._starts_held = False
        self._calls = CallEnds(remotes=remotes)
        self.rosters: dict[str, Roster] = {}
        self._reading: dict[str, list[Session]] = {}  # moved by the reaper while their batch's rows are being read

    def note(self, session: Session) -> None:
        """Take note of a session that the reaper moved."""
        roster = self.rosters.get(session.batch_id)
        if roster is not None:
            roster.put(session)
        elif session.torn_down:
            self._observer.session_moved(None, session)
        if session.batch_id in self._reading:
            self._reading[session.batch_id].append(session)

    def note_unrecorded(self, session: Session) -> None:
        """Take note of a teardown that no row tells of."""
        roster = self.rosters.get(session.batch_id)
        if roster is not None:
            roster.unrecorded[session.nonce] = session

    async def _sessions(self, batch_id: str) -> list[Session]:
        """The rows of a batch's sessions, and what the reaper moved since they were read: its word comes only once."""
        moved = self._reading[batch_id] = []
        try:
            read = await self._ledger.read(partial(session_rows.list_sessions, batch_id=batch_id))
        finally:
            del self._reading[batch_id]
        return list(({one.nonce: one for one in read} | {one.nonce: one for one in moved}).values())

    def exclusive(self, batch_id: str) -> bool:
        """Whether a batch's plan says that nobody else starts its agent."""
        roster = self.rosters.get(batch_id)
        return roster is not None and roster.plan.agent.exclusive

    def doomed(self) -> list[Session]:
        """The sessions that are condemned in memory only, because the state cannot be written."""
        return [session for roster in self.rosters.values() for session in roster.doomed_sessions()]

    def hurried(self) -> bool:
        """Whether the process has only seconds left."""
        return self._hurried

    def hurry(self) -> None:
        """The process has only seconds left: look for the wish to cancel at once, and settle nothing at length."""
        self._hurried = True
        for roster in self.rosters.values():
            roster.alarm()

    def hold_starts(self) -> None:
        """Start no more sessions, and submit nothing to automated channels; what was begun goes its way."""
        self._starts_held = True

    async def stand_still(self, *, seconds: float) -> None:
        """Begin nothing more, and wait for the answers to what was paid for: whoever goes on then finds no riddles."""
        self.hold_starts()
        for roster in self.rosters.values():
            roster.closing = True
        until = self._clock.monotonic() + seconds
        while self._paying and self._clock.monotonic() < until:
            await self._clock.sleep(0.05)

    @property
    def busy(self) -> bool:
        """Whether any session of a driven batch is on its way to a call, or in it; those of Cekura need nobody here."""
        ours = (roster for roster in self.rosters.values() if not roster.plan.channel.automated)
        return any(roster.count(*UNTIL_CALL_ENDED) for roster in ours)

    @property
    def _paying(self) -> bool:
        return bool(self._remotes.starting) or any(roster.posting for roster in self.rosters.values())

    async def aclose(self) -> None:
        """Ask for nothing more."""
        await self._calls.settle(0)

    async def abandon(self, reason: str) -> None:
        """End every call and doom every session, with no word of it in a state that cannot be written."""
        self._hurried = True
        for roster in self.rosters.values():
            roster.closing = True
        await self._answers_under_way()
        for roster in self.rosters.values():
            unfinished = [run for run in roster.runs.values() if not run.status.final]
            await self._calls.end_all(unfinished)
            unwritten = roster.answered.values()
            await self._calls.end_results({one.cekura_result_id: _ids(one) for one in unwritten})
            for run in unfinished:
                roster.doom(run, reason)
        self._condemned.set()

    async def _answers_under_way(self) -> None:
        """Give the POSTs under way a moment: a call can only be ended by its name."""
        until = self._clock.monotonic() + HURRIED_SECONDS
        while any(roster.posting for roster in self.rosters.values()) and self._clock.monotonic() < until:
            await self._clock.sleep(0.05)

    async def drive(self, batch_id: str) -> None:
        """Drive a batch until it is closed; at once when it already is, or when another worker drives it.

        A batch that another worker took meanwhile is let go as it is: nothing of it is ended here.
        """
        batch = await self._ledger.read(partial(batch_rows.get_batch, batch_id=batch_id))
        if batch.status is BatchStatus.CLOSED:
            return
        owner = self._membership.worker_id
        if not await self._ledger.write(partial(batch_rows.claim_batch, batch_id=batch_id, worker_id=owner)):
            return
        try:
            await self._drive(await self._open(replace(batch, owner=owner)))
        except* Disowned:
            logger.warning("a batch was let go: another worker drives it now", batch=batch_id)

    async def _drive(self, roster: Roster) -> None:
        batch_id = roster.batch.batch_id
        self.rosters[batch_id] = roster
        try:
            await self._to_outcomes(roster)
            await self._to_torn_down(roster)
            await self._calls.settle(LAST_CALL_ENDS)
            await give_up_submissions(roster)
            if not self._hurried:
                await label_results(roster, remotes=self._remotes, clock=self._clock)
            await self._close(roster, gate_outcome(roster.plan.gate, count(roster.runs.values())))
        finally:
            del self.rosters[batch_id]
            self._observer.let_go(batch_id)

    async def _close(self, roster: Roster, outcome: Outcome) -> None:
        close = partial(close_batch, batch_id=roster.batch.batch_id, plan=roster.plan)
        await roster.write_unit(partial(close, at=self._clock.now(), outcome=outcome))

    async def _open(self, batch: Batch) -> Roster:
        plan = plan_from_document(batch.document)
        return Roster(
            batch=batch,
            plan=plan.faster(batch.speed) if batch.speed != 1 else plan,
            runs=await self._ledger.read(partial(run_rows.list_runs, batch_id=batch.batch_id)),
            sessions=await self._sessions(batch.batch_id),
            ledger=self._ledger.of(batch.batch_id, batch.owner or ""),
            clock=self._clock,
            end_call=self._calls.end,
            listener=self._listener,
            sure=self._membership.sure,
            shared=self._shared,
            observer=self._observer,
        )

    async def _to_outcomes(self, roster: Roster) -> None:
        while not roster.finished:
            try:
                await self._run_loops(roster)
            except* Disowned:
                raise
            except* OrchestratorError as group:
                await self._give_up(roster, f"the batch could not go on: {first_error(group)}")
            except* Exception as group:  # noqa: BLE001  the supervisor: a defect of ours must not leave sessions behind
                logger.opt(exception=group).error("a batch was given up because of a defect")
                await self._give_up(roster, f"a defect of the orchestrator: {type(first_error(group)).__name__}")

    async def _reread(self, roster: Roster) -> None:
        """After a failed write the rows are right, whatever memory believes."""
        batch_id = roster.batch.batch_id
        roster.reset(
            runs=await self._ledger.read(partial(run_rows.list_runs, batch_id=batch_id)),
            sessions=await self._sessions(batch_id),
        )

    async def _run_loops(self, roster: Roster) -> None:
        refusals: list[str] = []

        def refuse(reason: str) -> None:
            refusals.append(reason)
            roster.alarm()

        roster.closing = roster.batch.cancel_asked_at is not None or bool(roster.batch.stopped)
        loops = self._automated_loops if roster.plan.channel.automated else self._session_loops
        await loops(roster, refusals, refuse)

    async def _automated_loops(self, roster: Roster, refusals: list[str], refuse: Callable[[str], None]) -> None:
        submitter = AutomatedSubmitter(
            roster=roster,
            remotes=self._remotes,
            clock=self._clock,
            environ=self._environ,
            speed=roster.batch.speed,
            end_call=self._calls.end_call,
            refuse=refuse,
            held_back=lambda: self._starts_held,
        )
        await submitter.recover()
        watcher = Watcher(
            roster=roster, remotes=self._remotes, clock=self._clock, random=self._random, patience=submitter.patience
        )
        ending = self._ending(roster, submitter, refusals)
        async with asyncio.TaskGroup() as loops:
            for loop in (submitter, watcher, ending):
                loops.create_task(loop.run(), name=f"{type(loop).__name__} {roster.batch.batch_id}")

    async def _session_loops(self, roster: Roster, refusals: list[str], refuse: Callable[[str], None]) -> None:
        speed, agent = roster.batch.speed, roster.plan.agent
        ramping = Ramping(roster=roster, clock=self._clock, speed=speed)
        recovery = self._recovery(roster)
        settlement = Settlement(
            roster=roster, remotes=self._remotes, clock=self._clock, speed=speed, end_call=self._calls.end_call
        )
        submitter = Submitter(
            roster=roster,
            remotes=self._remotes,
            clock=self._clock,
            environ=self._environ,
            speed=speed,
            settlement=settlement,
            refuse=refuse,
            calls=lambda: starter.calls,
        )
        async with asyncio.TaskGroup() as loops:
            starter = Starter(
                roster=roster,
                remotes=self._remotes,
                clock=self._clock,
                environ=self._environ,
                place=self._place,
                speed=speed,
                session_limit=await platform_limit(self._remotes.agent(agent.kind, agent.address)),
                on_lost=partial(recovery.look_for, tasks=loops),
                refuse=refuse,
                held_back=lambda: self._starts_held or submitter.failing or bool(refusals),
                ramping=ramping,
            )
            watcher = Watcher(
                roster=roster, remotes=self._remotes, clock=self._clock, starter=starter, random=self._random
            )
            readiness = Readiness(roster=roster, remotes=self._remotes, clock=self._clock, speed=speed)
            await recovery.recover(submitter=submitter, tasks=loops)
            departures = Departures(roster=roster, remotes=self._remotes, clock=self._clock)
            outage = self._outage(roster)
            ending = self._ending(roster, submitter, refusals)
            for loop in (starter, submitter, readiness, watcher, departures, outage, ending, ramping):
                loops.create_task(loop.run(), name=f"{type(loop).__name__} {roster.batch.batch_id}")

    def _ending(self, roster: Roster, submitter: Submits, refusals: list[str]) -> Ending:
        return Ending(
            roster=roster,
            clock=self._clock,
            calls=self._calls,
            submitter=submitter,
            refusals=refusals,
            condemned=self._condemned.set,
            hurried=self.hurried,
        )

    def _recovery(self, roster: Roster) -> Recovery:
        return Recovery(
            roster=roster,
            remotes=self._remotes,
            shared=self._store.shared,
            clock=self._clock,
            speed=roster.batch.speed,
            worker_id=lambda: self._membership.worker_id,
        )

    def _outage(self, roster: Roster) -> Outage:
        return Outage(
            roster=roster,
            remotes=self._remotes,
            ledger=self._ledger,
            clock=self._clock,
            speed=roster.batch.speed,
            end_call=self._calls.end,
            held=lambda: self._membership.held,
        )

    async def _give_up(self, roster: Roster, reason: str) -> None:
        logger.error("a batch was given up", batch=roster.batch.batch_id, reason=reason)
        roster.closing = True
        await roster.check_owned()  # a batch that another worker drives is not ours to end
        await self._reread(roster)
        await end_runs(roster, reason=reason, clock=self._clock, calls=self._calls)
        await self._condemn(roster, reason)

    async def _condemn(self, roster: Roster, reason: str) -> None:
        now = self._clock.now()
        condemn = partial(session_rows.condemn_batch, batch_id=roster.batch.batch_id, at=now, reason=reason)
        await roster.write_unit(condemn)

    async def _to_torn_down(self, roster: Roster) -> None:
        bell = roster.bell()
        while not roster.torn_down:
            await bell.wait(1.0)
            await self._refresh(roster)

    async def _refresh(self, roster: Roster) -> None:
        """Another worker may have torn down what this one took over with the batch."""
        if self._store.shared:
            for session in await self._sessions(roster.batch.batch_id):
                if session != roster.sessions.get(session.nonce):
                    roster.put(session)


def _ids(answer: AcceptedSubmission) -> list[int]:
    return [run.cekura_run_id for run in answer.runs]
