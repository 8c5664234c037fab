"""Hands ready rooms to Cekura: gathered for a moment, never the same scenario twice in one POST, never sent again.

`intent` -> `sent` is committed before the one POST. What its answer means, or its loss, is `settlement`'s to say. While
POSTs fail, no bots are started that nobody would call: one run at a time goes ahead to try whether they pass again.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.budget import CallBudget
from orchestrator.domain.errors import (
    Conflict,
    OutcomeUnknown,
    RemoteAuthFailed,
    RemoteBusy,
    RemoteError,
    RemoteProtocolError,
    RemoteUnavailable,
)
from orchestrator.domain.observation import AcceptedSubmission, SubmittedRoom
from orchestrator.domain.plan import SlotRule
from orchestrator.domain.retry import hold_off_seconds
from orchestrator.domain.run import Run, RunStatus, SessionLost
from orchestrator.domain.secret import MeetingToken
from orchestrator.domain.session import Session
from orchestrator.domain.submission import Candidate, Submission, SubmissionStatus, plan_submissions
from orchestrator.engine.remotes import Remotes, sentence
from orchestrator.engine.roster import Roster
from orchestrator.engine.settlement import Settlement
from orchestrator.plans import render_run
from orchestrator.store import submissions as submission_rows
from orchestrator.store.budget import shared_calls_left

LONGEST_WAIT: Final = 15.0
RECENTLY: Final = 5.0  # seconds by which is judged how often bots become ready
POSTS_PER_SECOND: Final = 5.0  # Cekura begins no more calls than that, however fast it is told of rooms
REFUSALS_THAT_WORRY: Final = 3  # in a row: no longer one scenario's fault


class Submitter:
    """Submits the ready sessions of one batch. `refuse` ends the batch with the reason; `calls` is its call budget."""

    def __init__(
        self,
        *,
        roster: Roster,
        remotes: Remotes,
        clock: Clock,
        environ: Mapping[str, str],
        speed: float,
        settlement: Settlement,
        refuse: Callable[[str], None],
        calls: Callable[[], CallBudget],
    ) -> None:
        self._roster = roster
        self._remotes = remotes
        self._clock = clock
        self._environ = environ
        self._speed = speed
        self._settlement = settlement
        self._refuse = refuse
        self._calls = calls
        self._alone: set[str] = set()  # sessions whose group was refused: submitted singly, to find whose fault it was
        self._busy: set[str] = set()
        self._asked: set[str] = set()  # sessions on their way to an answer: gathered, prepared or in a POST
        self._became_ready: dict[str, datetime] = {}
        self._withheld_at: dict[str, datetime] = {}  # when the calls of all batches last left a session no place
        self._posts_left, self._posts_counted_at = POSTS_PER_SECOND, clock.monotonic()
        self._failures = 0
        self._refusals = 0
        self._hold_until = 0.0

    @property
    def failing(self) -> bool:
        """True while no start should be made for want of submissions that pass; one run at a time is let ahead."""
        if self._failures == 0:
            return False
        statuses = self._roster.statuses
        trying = len(self._waiting()) + len(self._asked)  # what is looked up tries nothing: it may take minutes
        ahead = statuses[RunStatus.STARTING] + statuses[RunStatus.STARTED] + trying
        return ahead > 0 or self._clock.monotonic() < self._hold_until

    def unsettled(self) -> set[str]:
        """The runs whose room was or is being posted, with no word of it yet: their calls may be under way, unnamed."""
        ready = {run.nonce: run.run_id for run in self._roster.of_status(RunStatus.READY)}
        return {ready[nonce] for nonce in self._busy if nonce in ready}

    async def run(self) -> None:
        """Submit until every run has its outcome."""
        bell = self._roster.bell()
        async with asyncio.TaskGroup() as posts:
            while not self._roster.finished:
                for group in self._due():
                    self._busy.update(candidate.nonce for candidate in group)
                    self._asked.update(candidate.nonce for candidate in group)
                    posts.create_task(self._submit(group), name=f"submit {group[0].nonce}")
                await self._give_up_overdue()
                await bell.wait(self._wait_seconds())
        for nonce in self._roster.sessions:
            self._remotes.tokens.drop(nonce)

    def resume(self, submission: Submission, group: Sequence[Candidate], posts: asyncio.TaskGroup) -> None:
        """Finish what an earlier process began: look up what a submission did, or tell its runs what is known."""
        self._busy.update(candidate.nonce for candidate in group)
        if submission.status is SubmissionStatus.SENT:
            self._settlement.begin(submission)
            settle = self._settlement.look_up if group else self._settlement.leave_unknown
            work = settle(submission, group)
        elif submission.status is SubmissionStatus.ACCEPTED:
            work = self._settlement.pair_again(submission, group)
        else:
            work = self._settlement.fail(group, submission.note)
        posts.create_task(work, name=f"resume submission {submission.submission_id}")

    def _wait_seconds(self) -> float:
        step = max(self._roster.plan.timing.gather / 5, 1 / POSTS_PER_SECOND / self._speed)
        return max(0.01, min(1.0, step)) if self._admitted() else 1.0

    def _waiting(self) -> list[Candidate]:
        ready = ((run, self._roster.session_of(run)) for run in self._roster.of_status(RunStatus.READY))
        return [
            candidate_of(run, session)
            for run, session in ready
            if session is not None
            and session.submission_id is None
            and session.nonce not in self._busy
            and session.nonce not in self._roster.doomed
        ]

    def _admitted(self) -> list[Candidate]:
        """The waiting that the call budget has place for, those ready first; a bot started ahead may be early."""
        waiting = sorted(self._waiting(), key=lambda candidate: candidate.ready_at)
        return (
            waiting[: self._calls().callable(self._roster.statuses, posting=len(self.unsettled()))] if waiting else []
        )

    def _due(self) -> list[tuple[Candidate, ...]]:
        if self._roster.closing or self._clock.monotonic() < self._hold_until:
            return []
        now, gather = self._clock.now(), timedelta(seconds=self._roster.plan.timing.gather)
        waiting = self._admitted()
        single = [(candidate,) for candidate in waiting if candidate.nonce in self._alone]
        together = [candidate for candidate in waiting if candidate.nonce not in self._alone]
        groups = [*single, *plan_submissions(together, now=now, gather=gather, rate=self._rate(waiting, now))]
        return groups[: self._posts_allowed(len(groups))]

    def _rate(self, waiting: Sequence[Candidate], now: datetime) -> float:
        """How many more will become ready in a second: as many as lately, or one while any bot is on its way."""
        seconds = RECENTLY / self._speed
        since = now - timedelta(seconds=seconds)
        for one in waiting:
            self._became_ready[one.nonce] = one.ready_at
        self._became_ready = {nonce: at for nonce, at in self._became_ready.items() if at >= since}
        statuses = self._roster.statuses
        on_the_way = statuses[RunStatus.STARTING] + statuses[RunStatus.STARTED]
        return max(1, len(self._became_ready)) / seconds if on_the_way else 0.0

    def _posts_allowed(self, wanted: int) -> int:
        now = self._clock.monotonic()
        gained = (now - self._posts_counted_at) * POSTS_PER_SECOND * self._speed
        left = min(POSTS_PER_SECOND, self._posts_left + gained)
        allowed = min(wanted, int(left))
        self._posts_left, self._posts_counted_at = left - allowed, now
        return allowed

    @property
    def _until_judged(self) -> bool:
        return self._calls().rule is not SlotRule.CALL_ENDED

    async def _affordable(self, group: Sequence[Candidate]) -> Sequence[Candidate]:
        """As many as the calls of all batches leave place for; the others wait on."""
        if self._roster.shared.calls is None:
            return group
        left = await self._roster.read(
            partial(shared_calls_left, limits=self._roster.shared, until_judged=self._until_judged)
        )
        self._withheld_at |= {
            candidate.nonce: self._clock.now() for candidate in (group[left:] if left is not None else ())
        }
        return group[:left]

    async def _submit(self, whole: Sequence[Candidate]) -> None:
        group = whole
        try:
            group = await self._affordable(group)
            if not group:
                return
            rooms = await asyncio.gather(*(self._room(candidate) for candidate in group))
            submission = self._intent(group)
            nonces = [candidate.nonce for candidate in group]
            intent = partial(
                submission_rows.record_intent,
                submission=submission,
                nonces=nonces,
                shared=self._roster.shared,
                until_judged=self._until_judged,
            )
            if await self._roster.write_unit(intent):
                await self._post(submission, group, rooms)
        finally:
            self._asked.difference_update(candidate.nonce for candidate in whole)
            self._busy.difference_update(candidate.nonce for candidate in whole)
            self._roster.posting.difference_update(candidate.nonce for candidate in group)
            self._roster.ring()

    def _intent(self, group: Sequence[Candidate]) -> Submission:
        return Submission(
            submission_id=str(uuid.uuid4()),
            batch_id=self._roster.batch.batch_id,
            status=SubmissionStatus.INTENT,
            intended_at=self._clock.now(),
            cekura_agent_id=self._roster.plan.cekura_agent_id,
            scenario_ids=tuple(candidate.scenario_id for candidate in group),
        )

    async def _room(self, candidate: Candidate) -> SubmittedRoom:
        session = self._roster.sessions[candidate.nonce]
        run = self._roster.runs[session.run_id]
        rendered = render_run(
            self._roster.plan,
            scenario=self._roster.plan.scenarios[run.scenario_position],
            run_id=run.run_id,
            run_index=run.index,
            batch_id=run.batch_id,
            environ=self._environ,
        )
        return SubmittedRoom(
            scenario_id=run.scenario_id,
            room_url=session.room_url or "",
            meeting_token=await self._tester_token(session, session.room_url or ""),
            publish_data_message=rendered.publish_data_message,
            has_data_message=rendered.has_data_message,
        )

    async def _tester_token(self, session: Session, room_url: str) -> MeetingToken | None:
        """A minted non-owner token where a key reaches the room; otherwise the session's own."""
        try:
            client = await self._remotes.daily_for(room_url)
        except RemoteError as error:
            logger.warning("no token could be minted; the session's own is used", error=str(error))
            return session.meeting_token
        if client is None:
            return session.meeting_token
        return await self._remotes.tokens.token_for(session, client, self._remotes.address(room_url).name)

    async def _post(self, submission: Submission, group: Sequence[Candidate], rooms: Sequence[SubmittedRoom]) -> None:
        """Make the one POST of a submission.

        May it be repeated: no. A lost answer: looked up in the result list. Committed first: the submission as `sent`.
        If we die here: the row is found `sent`, and a resumed batch looks it up; its rooms are torn down either way.
        """
        sent_at = self._clock.now()
        sent = partial(submission_rows.record_sent, submission_id=submission.submission_id, at=sent_at)
        if not await self._roster.write_unit(sent) or not await self._roster.sure():
            return
        if any(candidate.nonce in self._roster.doomed for candidate in group):
            await self._settlement.give_back(submission, group, note="a bot was let go before it could be sent")
            return
        submission = replace(submission, sent_at=sent_at)
        self._settlement.begin(submission)
        self._roster.posting.update(candidate.nonce for candidate in group)
        try:
            answer = await self._answered(group, rooms)
        except (RemoteBusy, RemoteUnavailable) as error:
            self._hold_off(error)
            await self._settlement.give_back(submission, group, note=str(error))
        except (OutcomeUnknown, RemoteProtocolError) as error:
            logger.warning("the answer to a submission was lost; looking it up", error=str(error))
            self._hold_off(error)
            await self._settlement.look_up(submission, group)
        except RemoteError as error:
            await self._refused(submission, group, error)
        else:
            self._failures = self._refusals = 0
            for candidate in group:
                self._remotes.tokens.drop(candidate.nonce)
            await self._accepted(submission, group, answer)

    async def _accepted(self, submission: Submission, group: Sequence[Candidate], answer: AcceptedSubmission) -> None:
        try:
            await self._settlement.accept(submission, group, answer)
        except Conflict:
            # Cekura named a result that another submission holds: whose calls these are, nobody can say.
            await self._settlement.leave_unknown(submission, group)

    async def _answered(self, group: Sequence[Candidate], rooms: Sequence[SubmittedRoom]) -> AcceptedSubmission:
        try:
            return await self._answer(rooms)
        finally:
            self._asked.difference_update(candidate.nonce for candidate in group)

    async def _answer(self, rooms: Sequence[SubmittedRoom]) -> AcceptedSubmission:
        plan = self._roster.plan
        return await self._remotes.cekura.submit(
            cekura_agent_id=plan.cekura_agent_id, mock_tool_names=plan.mock_tool_names, rooms=rooms
        )

    def _hold_off(self, error: RemoteError) -> None:
        self._failures += 1
        told = error.retry_after if isinstance(error, RemoteBusy) else None
        self._hold_until = self._clock.monotonic() + hold_off_seconds(
            self._failures,
            told=told,
            longest=LONGEST_WAIT,
            patience=self._roster.plan.timeouts.ready,
            speed=self._speed,
        )

    async def _refused(self, submission: Submission, group: Sequence[Candidate], error: RemoteError) -> None:
        """A refusal of a group may be one scenario's fault: its rooms are submitted again one by one, once."""
        if isinstance(error, RemoteAuthFailed):
            self._refuse(sentence(error))
            await self._settlement.reject(submission, group, error)
        elif len(group) > 1:
            self._alone.update(candidate.nonce for candidate in group)
            await self._settlement.give_back(submission, group, note=f"refused as a group: {error}")
        else:
            self._refusals += 1
            self._failures = 0
            if self._refusals >= REFUSALS_THAT_WORRY:
                self._hold_off(error)
            await self._settlement.reject(submission, group, error)

    async def _give_up_overdue(self) -> None:
        """A ready bot that cannot be submitted idles and bills: after the ready timeout its session is given up.

        Not while other batches have all calls: a new bot would find the same, and cost a retry.
        """
        patience = self._roster.plan.timeouts.ready
        for candidate in self._admitted():
            since = max(candidate.ready_at, self._withheld_at.get(candidate.nonce, candidate.ready_at))
            if (self._clock.now() - since).total_seconds() > patience:
                reason = f"Cekura took no submission for {patience:.0f} s after the bot was ready"
                run_id = self._roster.sessions[candidate.nonce].run_id
                await self._roster.apply(run_id, SessionLost(at=self._clock.now(), reason=reason))


def candidate_of(run: Run, session: Session) -> Candidate:
    """A ready run as the pairing rule sees it."""
    # The run's own moment: a session of a pool was ready long before a run took it.
    ready_at = run.since(RunStatus.READY) or session.ready_at or session.intended_at
    return Candidate(nonce=session.nonce, scenario_id=run.scenario_id, ready_at=ready_at)
