"""Drives one batch over its rows, from wherever they stand to closed.

`drive` is a plain coroutine that may be run again after any crash: the rows say what is left. It returns when every run
has an outcome and every teardown is confirmed or bounded. It never raises for trouble with a remote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, Final

from loguru import logger

from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.clock import Clock
from orchestrator.domain.batch import Batch, BatchStatus, count, gate_outcome
from orchestrator.domain.errors import OrchestratorError, StateUnusable
from orchestrator.domain.plan import AgentKind, Plan
from orchestrator.domain.run import CancelAsked, Run, RunStatus
from orchestrator.domain.session import Session
from orchestrator.domain.verdict import Outcome
from orchestrator.engine.departures import Departures
from orchestrator.engine.readiness import Readiness
from orchestrator.engine.recovery import Recovery
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.roster import Listener, Roster
from orchestrator.engine.settlement import Settlement
from orchestrator.engine.starter import Starter
from orchestrator.engine.submitter import Submitter
from orchestrator.engine.watcher import Watcher
from orchestrator.plans import plan_from_document
from orchestrator.store import batches as batch_rows
from orchestrator.store import runs as run_rows
from orchestrator.store import sessions as session_rows
from orchestrator.store.database import Store

LOOK_FOR_CANCEL_EVERY: Final = 0.5
END_CALL_TRIES: Final = 3
WRITE_AGAIN: Final = 2.0
CALLING: Final = frozenset({RunStatus.SUBMITTED, RunStatus.IN_CALL})
POST_SECONDS: Final = 3.0  # for an answer that is on its way
SETTLE_SECONDS: Final = 15.0  # for a lost one that is being looked up
DEFAULT_SESSION_LIMIT: Final = 7200.0  # Pipecat Cloud's default maxSessionDuration


class Driver:
    """Drives batches; `rosters` shows those under way in this process."""

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
    ) -> None:
        self._store = store
        self._remotes = remotes
        self._clock = clock
        self._environ = environ
        self._random = random
        self._place = place
        self._listener = listener
        self.rosters: dict[str, Roster] = {}
        self._calls_ended: set[int | None] = set()

    def note(self, session: Session) -> None:
        """Take note of a session that the reaper moved."""
        roster = self.rosters.get(session.batch_id)
        if roster is not None:
            roster.put(session)

    def exclusive(self, batch_id: str) -> bool:
        """Whether a batch's plan says that nobody else starts its agent."""
        roster = self.rosters.get(batch_id)
        return roster is not None and roster.plan.agent.exclusive

    async def drive(self, batch_id: str) -> None:
        """Drive a batch until it is closed; at once when it already is."""
        batch = await self._store.read(partial(batch_rows.get_batch, batch_id=batch_id))
        if batch.status is BatchStatus.CLOSED:
            return
        roster = await self._open(batch)
        self.rosters[batch_id] = roster
        try:
            await self._to_outcomes(roster)
            await self._to_torn_down(roster)
            outcome = gate_outcome(roster.plan.gate, count(roster.runs.values()))
            await self._insist(partial(self._close, roster, outcome))
        finally:
            del self.rosters[batch_id]

    async def _close(self, roster: Roster, outcome: Outcome) -> None:
        closed = partial(
            batch_rows.record_closed, batch_id=roster.batch.batch_id, at=self._clock.now(), outcome=outcome
        )
        await self._store.write(closed)

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do what must be written, however long the state cannot be: a batch that gave up would be driven no more."""
        while True:
            try:
                await work()
            except StateUnusable as error:
                logger.error("waiting for the state to be writable", error=str(error))
                await self._clock.sleep(WRITE_AGAIN)
            else:
                return

    async def _open(self, batch: Batch) -> Roster:
        plan = plan_from_document(batch.document)
        return Roster(
            batch=batch,
            plan=plan.faster(batch.speed) if batch.speed != 1 else plan,
            runs=await self._store.read(partial(run_rows.list_runs, batch_id=batch.batch_id)),
            sessions=await self._store.read(partial(session_rows.list_sessions, batch_id=batch.batch_id)),
            store=self._store,
            clock=self._clock,
            end_call=self._end_call_of,
            listener=self._listener,
        )

    async def _to_outcomes(self, roster: Roster) -> None:
        while not roster.finished:
            try:
                await self._run_loops(roster)
            except* StateUnusable as group:
                logger.error("the batch waits for the state to be writable", error=str(group.exceptions[0]))
                await self._clock.sleep(WRITE_AGAIN)
                await self._insist(partial(self._reread, roster))
            except* OrchestratorError as group:
                await self._give_up(roster, f"the batch could not go on: {_first(group)}")
            except* Exception as group:  # noqa: BLE001  the supervisor: a defect of ours must not leave sessions behind
                logger.opt(exception=group).error("a batch was given up because of a defect")
                await self._give_up(roster, f"a defect of the orchestrator: {type(_first(group)).__name__}")

    async def _reread(self, roster: Roster) -> None:
        """After a failed write the rows are right, whatever memory believes."""
        batch_id = roster.batch.batch_id
        roster.reset(
            runs=await self._store.read(partial(run_rows.list_runs, batch_id=batch_id)),
            sessions=await self._store.read(partial(session_rows.list_sessions, batch_id=batch_id)),
        )

    async def _run_loops(self, roster: Roster) -> None:
        speed = roster.batch.speed
        refusals: list[str] = []
        roster.closing = roster.batch.cancel_asked_at is not None
        recovery = Recovery(roster=roster, remotes=self._remotes, store=self._store, clock=self._clock, speed=speed)
        settlement = Settlement(
            roster=roster, remotes=self._remotes, clock=self._clock, speed=speed, end_call=self._end_call
        )
        submitter = Submitter(
            roster=roster,
            remotes=self._remotes,
            clock=self._clock,
            environ=self._environ,
            speed=speed,
            settlement=settlement,
            refuse=refusals.append,
        )
        async with asyncio.TaskGroup() as loops:
            starter = Starter(
                roster=roster,
                remotes=self._remotes,
                clock=self._clock,
                environ=self._environ,
                place=self._place,
                speed=speed,
                session_limit=await self._session_limit(roster.plan),
                on_lost=partial(recovery.look_for, tasks=loops),
                refuse=refusals.append,
                held_back=lambda: submitter.failing or bool(refusals),
            )
            watcher = Watcher(
                roster=roster, remotes=self._remotes, clock=self._clock, starter=starter, random=self._random
            )
            readiness = Readiness(roster=roster, remotes=self._remotes, clock=self._clock, speed=speed)
            await recovery.recover(submitter=submitter, tasks=loops)
            departures = Departures(roster=roster, remotes=self._remotes, clock=self._clock)
            for loop in (starter, submitter, readiness, watcher, departures):
                loops.create_task(loop.run(), name=f"{type(loop).__name__} {roster.batch.batch_id}")
            loops.create_task(self._end_early(roster, submitter, refusals), name=f"cancel {roster.batch.batch_id}")

    async def _session_limit(self, plan: Plan) -> float:
        """How long the platform lets a session live, by the agent's own record where it can be read."""
        agent = self._remotes.agent(plan.agent.kind, plan.agent.address)
        if plan.agent.kind is not AgentKind.PIPECAT_CLOUD or not isinstance(agent, PipecatCloudClient):
            return DEFAULT_SESSION_LIMIT
        try:
            record = await agent.get_agent()
        except OrchestratorError:
            return DEFAULT_SESSION_LIMIT
        return record.max_session_seconds or DEFAULT_SESSION_LIMIT

    async def _end_early(self, roster: Roster, submitter: Submitter, refusals: list[str]) -> None:
        """Notice a committed wish to cancel, or a refusal of the first start, and end every run."""
        bell = roster.bell()
        while not roster.finished:
            batch = await self._store.read(partial(batch_rows.get_batch, batch_id=roster.batch.batch_id))
            if batch.cancel_asked_at is not None:
                roster.batch = batch
                await self._cancel(roster, submitter, batch.cancel_reason)
            elif refusals:
                reason = refusals[0]
                await self._store.write(partial(batch_rows.record_refusal, batch_id=batch.batch_id, reason=reason))
                await self._end_runs(roster, reason)
            else:
                await bell.wait(LOOK_FOR_CANCEL_EVERY)

    async def _cancel(self, roster: Roster, submitter: Submitter, reason: str) -> None:
        """Begin nothing new and end every run; one whose POST is not settled yet gets a moment to be.

        Its call may be under way, and can be ended only once it has a name; without that it would be cut short.
        """
        roster.closing = True
        await self._end_runs(roster, reason, but=submitter.unsettled())
        until = self._clock.monotonic() + SETTLE_SECONDS / roster.batch.speed + POST_SECONDS
        while submitter.unsettled() and self._clock.monotonic() < until:
            await self._clock.sleep(0.05)
        await self._end_runs(roster, reason)

    async def _end_runs(self, roster: Roster, reason: str, *, but: Collection[str] = ()) -> None:
        unfinished = [run for run in roster.runs.values() if not run.status.final and run.run_id not in but]
        await self._end_calls_of(unfinished)
        fact = CancelAsked(at=self._clock.now(), reason=reason)
        await asyncio.gather(*(roster.apply(run.run_id, fact) for run in unfinished))

    async def _end_calls_of(self, runs: Sequence[Run]) -> None:
        """End all calls of each result with one request; every run of a result is of one submission of ours."""
        calling = [run for run in runs if run.status in CALLING and run.cekura_run_id is not None]
        results = {run.cekura_result_id for run in calling if run.cekura_result_id is not None}
        ended = dict(zip(results, await asyncio.gather(*(self._end_result(one) for one in results)), strict=True))
        self._calls_ended |= {run.cekura_run_id for run in calling if ended.get(run.cekura_result_id or 0)}

    async def _end_result(self, cekura_result_id: int) -> bool:
        """Ask Cekura to end a result's calls. May be repeated; where it fails, each call is asked to end by itself."""
        try:
            await self._remotes.cekura.end_calls(cekura_result_id)
        except OrchestratorError as error:
            logger.warning("the calls of a result could not be ended", result=cekura_result_id, error=str(error))
            return False
        return True

    async def _give_up(self, roster: Roster, reason: str) -> None:
        logger.error("a batch was given up", batch=roster.batch.batch_id, reason=reason)
        roster.closing = True
        await self._insist(partial(self._reread, roster))
        await self._insist(partial(self._end_runs, roster, reason))
        await self._insist(partial(self._condemn, roster, reason))

    async def _condemn(self, roster: Roster, reason: str) -> None:
        now = self._clock.now()
        condemn = partial(session_rows.condemn_batch, batch_id=roster.batch.batch_id, at=now, reason=reason)
        await self._store.write(condemn)

    async def _to_torn_down(self, roster: Roster) -> None:
        bell = roster.bell()
        while not roster.torn_down:
            await bell.wait(1.0)

    async def _end_call_of(self, run: Run) -> None:
        if run.cekura_run_id is not None and run.cekura_run_id not in self._calls_ended:
            await self._end_call(run.cekura_run_id)

    async def _end_call(self, cekura_run_id: int) -> None:
        """Ask Cekura to end a call. May be repeated; a lost answer changes nothing, the room is torn down after it."""
        for _ in range(END_CALL_TRIES):
            try:
                await self._remotes.cekura.end_call(cekura_run_id)
            except OrchestratorError as error:
                logger.warning("a call could not be ended at Cekura", cekura_run=cekura_run_id, error=str(error))
            else:
                return


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first real error inside nested groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
