"""Hands ready rooms to Cekura: gathered for a moment, never the same scenario twice in one POST, never sent again.

`intent` -> `sent` is committed before the one POST. A POST that certainly did nothing gives its rooms back; one whose
answer was lost is looked up in Cekura's result list, and what cannot be settled is `unknown`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.errors import (
    OutcomeUnknown,
    RemoteBusy,
    RemoteError,
    RemoteProtocolError,
    RemoteUnavailable,
)
from orchestrator.domain.observation import AcceptedSubmission, SubmittedRoom
from orchestrator.domain.run import Run, RunStatus, SessionLost, SubmissionAccepted, SubmissionFailed
from orchestrator.domain.secret import MeetingToken
from orchestrator.domain.session import Session
from orchestrator.domain.submission import (
    Candidate,
    Submission,
    SubmissionStatus,
    find_lost,
    pair,
    plan_submissions,
)
from orchestrator.engine.remotes import Remotes, sentence
from orchestrator.engine.roster import Roster
from orchestrator.plans import render_run
from orchestrator.store import sessions as session_rows
from orchestrator.store import submissions as submission_rows

TESTER_NAME: Final = "Cekura"
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 15.0
LOOK_AGAIN: Final = 5.0
UNSETTLED: Final = (
    "Cekura's answer to the submission was lost and its result list did not settle whether it took it. The call may "
    "have been placed and charged; look for a result created at {at} with scenarios {scenarios}. It was not sent again"
)


class Submitter:
    """Submits the ready sessions of one batch."""

    def __init__(
        self,
        *,
        roster: Roster,
        remotes: Remotes,
        clock: Clock,
        environ: Mapping[str, str],
        speed: float,
        end_call: Callable[[int], Awaitable[None]],
    ) -> None:
        self._roster = roster
        self._remotes = remotes
        self._clock = clock
        self._environ = environ
        self._speed = speed
        self._end_call = end_call
        self._posting = 0
        self._alone: set[str] = set()  # sessions whose group was refused: submitted singly, to find whose fault it was
        self._busy: set[str] = set()
        self._open: dict[str, Submission] = {}
        self._failures = 0
        self._hold_until = 0.0

    @property
    def failing(self) -> bool:
        """True while submissions are not getting through: no point in starting bots that nobody will call."""
        return self._failures > 0

    @property
    def posting(self) -> bool:
        """True while a POST is under way: its calls may be placed, and cannot be ended before they have a name."""
        return self._posting > 0

    async def run(self) -> None:
        """Submit until every run has its outcome."""
        bell = self._roster.bell()
        async with asyncio.TaskGroup() as posts:
            while not self._roster.finished:
                for group in self._due():
                    self._busy.update(candidate.nonce for candidate in group)
                    posts.create_task(self._submit(group), name=f"submit {group[0].nonce}")
                await self._give_up_overdue()
                await bell.wait(self._wait_seconds())

    def resume(self, submission: Submission, group: Sequence[Candidate], posts: asyncio.TaskGroup) -> None:
        """Finish what an earlier process began: look up what a submission did, or tell its runs what is known."""
        self._busy.update(candidate.nonce for candidate in group)
        if submission.status is SubmissionStatus.SENT:
            self._open[submission.submission_id] = submission
            work = self._look_up(submission, group)
        elif submission.status is SubmissionStatus.ACCEPTED:
            work = self._pair_again(submission, group)
        else:
            work = self._fail(group, submission.note)
        posts.create_task(work, name=f"resume submission {submission.submission_id}")

    async def _pair_again(self, submission: Submission, group: Sequence[Candidate]) -> None:
        """An accepted submission whose runs were not all told: read its result and pair once more. Only reads."""
        until = self._clock.monotonic() + self._roster.plan.timing.lookup
        while self._clock.monotonic() < until and submission.cekura_result_id is not None:
            try:
                answer = await self._remotes.cekura.get_result(submission.cekura_result_id)
            except RemoteError:
                await self._clock.sleep(self._look_again())
            else:
                await self._accepted(submission, group, answer, note=submission.note)
                return
        await self._fail(group, f"Cekura's result {submission.cekura_result_id} could not be read after a restart")

    def _look_again(self) -> float:
        return min(LOOK_AGAIN / self._speed, self._roster.plan.timing.lookup / 4)

    def _wait_seconds(self) -> float:
        return max(0.01, min(1.0, self._roster.plan.timing.gather / 2)) if self._waiting() else 1.0

    def _waiting(self) -> list[Candidate]:
        ready = ((run, self._roster.session_of(run)) for run in self._roster.of_status(RunStatus.READY))
        return [
            candidate_of(run, session)
            for run, session in ready
            if session is not None and session.nonce not in self._busy and session.submission_id is None
        ]

    def _due(self) -> list[tuple[Candidate, ...]]:
        if self._roster.closing or self._clock.monotonic() < self._hold_until:
            return []
        now, gather = self._clock.now(), timedelta(seconds=self._roster.plan.timing.gather)
        waiting = self._waiting()
        single = [(candidate,) for candidate in waiting if candidate.nonce in self._alone]
        together = [candidate for candidate in waiting if candidate.nonce not in self._alone]
        return [*single, *plan_submissions(together, now=now, gather=gather)]

    async def _submit(self, group: Sequence[Candidate]) -> None:
        try:
            rooms = await asyncio.gather(*(self._room(candidate) for candidate in group))
            submission = self._intent(group)
            nonces = [candidate.nonce for candidate in group]
            intent = partial(submission_rows.record_intent, submission=submission, nonces=nonces)
            if await self._roster.write_unit(intent):
                await self._post(submission, group, rooms)
        finally:
            self._busy.difference_update(candidate.nonce for candidate in group)
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
            meeting_token=await self._tester_token(session),
            publish_data_message=rendered.publish_data_message,
            has_data_message=rendered.has_data_message,
        )

    async def _tester_token(self, session: Session) -> MeetingToken | None:
        """A minted non-owner token where a key reaches the room; otherwise the session's own."""
        try:
            client = await self._remotes.daily_for(session.room_url or "")
            if client is None:
                return session.meeting_token
            return await client.create_meeting_token(
                room_name=self._remotes.address(session.room_url or "").name,
                expires_at=session.room_expires_at,
                is_owner=False,
                user_name=TESTER_NAME,
            )
        except RemoteError as error:
            logger.warning("no token could be minted; the session's own is used", error=str(error))
            return session.meeting_token

    async def _post(self, submission: Submission, group: Sequence[Candidate], rooms: Sequence[SubmittedRoom]) -> None:
        """Make the one POST of a submission.

        May it be repeated: no. A lost answer: looked up in the result list. Committed first: the submission as `sent`.
        If we die here: the row is found `sent`, and a resumed batch looks it up; its rooms are torn down either way.
        """
        sent_at = self._clock.now()
        sent = partial(submission_rows.record_sent, submission_id=submission.submission_id, at=sent_at)
        if not await self._roster.write_unit(sent):
            return
        self._open[submission.submission_id] = submission
        try:
            answer = await self._answer(rooms)
        except (RemoteBusy, RemoteUnavailable) as error:
            self._hold_off(error)
            await self._settle(submission, SubmissionStatus.REFUSED, note=str(error))
            await self._detached(group)
        except (OutcomeUnknown, RemoteProtocolError) as error:
            logger.warning("the answer to a submission was lost; looking it up", error=str(error))
            await self._look_up(replace(submission, sent_at=sent_at), group)
        except RemoteError as error:
            await self._rejected(submission, group, error)
        else:
            self._failures = 0
            await self._accepted(submission, group, answer)

    async def _answer(self, rooms: Sequence[SubmittedRoom]) -> AcceptedSubmission:
        plan = self._roster.plan
        self._posting += 1
        try:
            return await self._remotes.cekura.submit(
                cekura_agent_id=plan.cekura_agent_id, mock_tool_names=plan.mock_tool_names, rooms=rooms
            )
        finally:
            self._posting -= 1

    def _hold_off(self, error: RemoteError) -> None:
        self._failures += 1
        told = error.retry_after if isinstance(error, RemoteBusy) else None
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(self._failures - 1, 10)) / self._speed
        self._hold_until = self._clock.monotonic() + (told if told is not None else wait)

    async def _settle(self, submission: Submission, status: SubmissionStatus, *, note: str) -> None:
        self._open.pop(submission.submission_id, None)
        settled = partial(
            submission_rows.record_settled, submission_id=submission.submission_id, status=status, note=note
        )
        await self._roster.write_unit(settled)

    async def _detached(self, group: Sequence[Candidate]) -> None:
        for candidate in group:
            await self._roster.write_session(partial(session_rows.get_session, nonce=candidate.nonce))

    async def _rejected(self, submission: Submission, group: Sequence[Candidate], error: RemoteError) -> None:
        """A refusal of a group may be one scenario's fault: its rooms are submitted again one by one, once."""
        if len(group) > 1:
            await self._settle(submission, SubmissionStatus.REFUSED, note=f"refused as a group: {error}")
            self._alone.update(candidate.nonce for candidate in group)
            await self._detached(group)
            return
        await self._settle(submission, SubmissionStatus.REJECTED, note=str(error))
        await self._fail(group, sentence(error))

    async def _accepted(
        self, submission: Submission, group: Sequence[Candidate], answer: AcceptedSubmission, *, note: str = ""
    ) -> None:
        self._open.pop(submission.submission_id, None)
        settled = partial(
            submission_rows.record_settled,
            submission_id=submission.submission_id,
            status=SubmissionStatus.ACCEPTED,
            cekura_result_id=answer.cekura_result_id,
            note=note,
        )
        await self._roster.write_unit(settled)
        pairing = pair(group, answer.runs)
        now = self._clock.now()
        for nonce, accepted in pairing.paired:
            fact = SubmissionAccepted(
                at=now, cekura_run_id=accepted.cekura_run_id, cekura_result_id=answer.cekura_result_id
            )
            called = partial(session_rows.record_called, nonce=nonce, cekura_run_id=accepted.cekura_run_id)
            step = await self._roster.apply(self._roster.sessions[nonce].run_id, fact, also=called)
            if step.run.cekura_run_id != accepted.cekura_run_id:
                await self._end_call(accepted.cekura_run_id)  # it came too late: its run has ended, its room is going
        unpaired = [candidate for candidate in group if candidate.nonce in pairing.unpaired]
        await self._fail(
            unpaired,
            f"Cekura's result {answer.cekura_result_id} holds no run that can be paired with this room "
            f"({len(answer.runs)} runs for {len(group)} rooms)",
        )

    async def _look_up(self, submission: Submission, group: Sequence[Candidate]) -> None:
        """Find what a lost submission made: exactly one result that no row holds; else, in the end, unknown."""
        timing = self._roster.plan.timing
        until = self._clock.monotonic() + timing.lookup
        while self._clock.monotonic() < until:
            await self._clock.sleep(self._look_again())
            found = await self._candidates(submission)
            if len(found) == 1 and not self._rivals(submission):
                note = f"its answer was lost; found as result {found[0].cekura_result_id}"
                await self._accepted(submission, group, found[0], note=note)
                return
        at = submission.sent_at.isoformat(timespec="seconds") if submission.sent_at else "an unknown time"
        reason = UNSETTLED.format(at=at, scenarios=", ".join(map(str, submission.scenario_ids)))
        await self._settle(submission, SubmissionStatus.UNKNOWN, note=reason)
        await self._fail(group, reason)

    def _rivals(self, submission: Submission) -> bool:
        """True while another submission of the same scenarios is unsettled: the result found may be that one's."""
        return any(
            other.submission_id != submission.submission_id
            and sorted(other.scenario_ids) == sorted(submission.scenario_ids)
            for other in self._open.values()
        )

    async def _candidates(self, submission: Submission) -> list[AcceptedSubmission]:
        if submission.sent_at is None:
            return []
        try:
            results = await self._remotes.cekura.list_results(
                cekura_agent_id=submission.cekura_agent_id, since=submission.sent_at - timedelta(seconds=5)
            )
        except RemoteError:
            return []
        known = await self._roster.read(submission_rows.known_result_ids)
        return find_lost(submission, results, known_result_ids=known)

    async def _fail(self, group: Sequence[Candidate], reason: str) -> None:
        fact = SubmissionFailed(at=self._clock.now(), reason=reason)
        for candidate in group:
            await self._roster.apply(self._roster.sessions[candidate.nonce].run_id, fact)

    async def _give_up_overdue(self) -> None:
        """A ready bot that cannot be submitted idles and bills: after the ready timeout its session is given up."""
        patience = timedelta(seconds=self._roster.plan.timeouts.ready)
        for candidate in self._waiting():
            if self._clock.now() - candidate.ready_at > patience:
                reason = f"Cekura took no submission for {patience.total_seconds():.0f} s after the bot was ready"
                run_id = self._roster.sessions[candidate.nonce].run_id
                await self._roster.apply(run_id, SessionLost(at=self._clock.now(), reason=reason))


def candidate_of(run: Run, session: Session) -> Candidate:
    """A ready run as the pairing rule sees it."""
    return Candidate(nonce=session.nonce, scenario_id=run.scenario_id, ready_at=session.ready_at or session.intended_at)
