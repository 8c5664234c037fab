"""Settles submissions: tells each run what became of the one POST that carried its room.

An answer is paired with its rooms by scenario. A refusal is told, with Cekura's words. A lost answer is looked up:
exactly one result that no row of ours holds, of the same agent and scenarios, created since the POST, and witnessed by
a tester in one of our rooms where a Daily key can see them. What cannot be settled so is `unknown`; it is never sent
again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from orchestrator.clock import Clock
from orchestrator.domain.errors import Conflict, RemoteError
from orchestrator.domain.observation import AcceptedSubmission
from orchestrator.domain.run import SubmissionAccepted, SubmissionFailed
from orchestrator.domain.submission import Candidate, Submission, SubmissionStatus, find_lost, pair
from orchestrator.engine.remotes import Remotes, sentence
from orchestrator.engine.roster import Roster
from orchestrator.store import sessions as session_rows
from orchestrator.store import submissions as submission_rows

NEVER_SENT: Final = "the process ended before it was sent"
LOOK_AGAIN: Final = 5.0
CLOCK_SLACK: Final = timedelta(seconds=5)
STILL_LANDING: Final = timedelta(minutes=10)  # a lost submission may make its result this much later
UNSETTLED: Final = (
    "Cekura's answer to the submission was lost and its result list did not settle whether it took it. The call may "
    "have been placed and charged; look at {agent} for a result created at {at} with scenarios {scenarios}. It was not "
    "sent again; the end of its room ends the call"
)
UNFOUND: Final = (
    "Cekura's answer to the submission was lost, and its list showed no result named {name!r}. It may have placed the "
    "calls and charged them, and may still do so: look for that name in its results of {at}. It was not sent again"
)
UNWITNESSED: Final = "no Daily key reaching its rooms for a second witness"
EndCall = Callable[[int], Awaitable[None]]


class Settlement:
    """Settles the submissions of one batch."""

    def __init__(self, *, roster: Roster, remotes: Remotes, clock: Clock, speed: float, end_call: EndCall) -> None:
        self._roster = roster
        self._remotes = remotes
        self._clock = clock
        self._speed = speed
        self._end_call = end_call
        self._open: dict[str, Submission] = {}

    def begin(self, submission: Submission) -> None:
        """Note that a POST is about to be made: until it is settled, it may own any result of its scenarios."""
        self._open[submission.submission_id] = submission

    async def settle(
        self, submission: Submission, status: SubmissionStatus, *, note: str, result_id: int | None = None
    ) -> None:
        """Commit what became of a submission. Conflict when another row already holds the result."""
        unit = partial(
            submission_rows.record_settled,
            submission_id=submission.submission_id,
            status=status,
            cekura_result_id=result_id,
            note=note,
        )
        await self._roster.write_unit(unit)
        self._open.pop(submission.submission_id, None)  # only now: until the commit it may own any result
        self._roster.observer.submission(status.value)

    async def accept(
        self, submission: Submission, group: Sequence[Candidate], answer: AcceptedSubmission, *, note: str = ""
    ) -> None:
        """Pair the rooms of a submission with the runs of its answer, and tell them."""
        result_id = answer.cekura_result_id
        await self.settle(submission, SubmissionStatus.ACCEPTED, note=note, result_id=result_id)
        pairing = pair(group, answer.runs)
        now = self._clock.now()
        for nonce, accepted in pairing.paired:
            fact = SubmissionAccepted(at=now, cekura_run_id=accepted.cekura_run_id, cekura_result_id=result_id)
            called = partial(session_rows.record_called, nonce=nonce, cekura_run_id=accepted.cekura_run_id)
            step = await self._roster.apply(self._roster.sessions[nonce].run_id, fact, also=called)
            if step.run.cekura_run_id != accepted.cekura_run_id:
                await self._end_call(accepted.cekura_run_id)  # it came too late: its run has ended, its room is going
        unpaired = [candidate for candidate in group if candidate.nonce in pairing.unpaired]
        counts = f"({len(answer.runs)} runs for {len(group)} rooms)"
        await self.fail(
            unpaired, f"Cekura's result {result_id} holds no run that can be paired with this room {counts}"
        )

    async def give_back(self, submission: Submission, group: Sequence[Candidate], *, note: str) -> None:
        """A POST that certainly did nothing: its rooms may be submitted again."""
        await self.settle(submission, SubmissionStatus.REFUSED, note=note)
        for candidate in group:
            await self._roster.write_session(partial(session_rows.get_session, nonce=candidate.nonce))

    async def reject(self, submission: Submission, group: Sequence[Candidate], error: RemoteError) -> None:
        """Cekura refused for good; its words go beside each run."""
        await self.settle(submission, SubmissionStatus.REJECTED, note=str(error))
        await self.fail(group, sentence(error))

    async def fail(self, group: Sequence[Candidate], reason: str) -> None:
        """Tell the runs of a group that no call of theirs will be followed."""
        fact = SubmissionFailed(at=self._clock.now(), reason=reason)
        for candidate in group:
            await self._roster.apply(self._roster.sessions[candidate.nonce].run_id, fact)

    async def look_up(self, submission: Submission, group: Sequence[Candidate]) -> None:
        """Find what a lost submission made, by reading only; in the end it is `unknown`."""
        self._roster.observer.submission("lost")
        until = self._clock.monotonic() + self._roster.plan.timing.lookup
        while self._clock.monotonic() < until:
            await self._clock.sleep(self._look_again())
            if not self._rivals(submission) and await self._adopted(submission, group):
                return
        await self.leave_unknown(submission, group)

    async def leave_unknown(self, submission: Submission, group: Sequence[Candidate]) -> None:
        """Say what could not be settled, with what an operator needs to look for it."""
        reason = unsettled_reason(submission)
        await self.settle(submission, SubmissionStatus.UNKNOWN, note=reason)
        await self.fail(group, reason)

    async def pair_again(self, submission: Submission, group: Sequence[Candidate]) -> None:
        """An accepted submission whose runs were not all told: read its result and pair once more. Only reads."""
        until = self._clock.monotonic() + self._roster.plan.timing.lookup
        while self._clock.monotonic() < until and submission.cekura_result_id is not None:
            try:
                answer = await self._remotes.cekura.get_result(submission.cekura_result_id)
            except RemoteError:
                await self._clock.sleep(self._look_again())
            else:
                await self.accept(submission, group, answer, note=submission.note)
                return
        await self.fail(group, f"Cekura's result {submission.cekura_result_id} could not be read after a restart")

    def _look_again(self) -> float:
        return min(LOOK_AGAIN / self._speed, self._roster.plan.timing.lookup / 4)

    def _rivals(self, submission: Submission) -> bool:
        """True while another submission of the same scenarios is unsettled: the result found may be that one's."""
        return any(
            other.submission_id != submission.submission_id
            and sorted(other.scenario_ids) == sorted(submission.scenario_ids)
            for other in self._open.values()
        )

    async def _adopted(self, submission: Submission, group: Sequence[Candidate]) -> bool:
        found = await self._candidates(submission)
        if len(found) != 1 or self._rivals(submission):
            return False
        witness = await self._witness(group)
        if witness is None or (witness == UNWITNESSED and await self._claimed_by_others(submission)):
            return False
        note = f"its answer was lost; found as result {found[0].cekura_result_id}, {witness}"
        try:
            await self.accept(submission, group, found[0], note=note)
        except Conflict:
            return False  # another row came to hold it in the meantime
        return True

    async def _claimed_by_others(self, submission: Submission) -> bool:
        """True where a submission of the same scenarios that nobody could settle may have made the one result too."""
        others = await self._roster.read(submission_rows.list_uncertain)
        since = (submission.sent_at or submission.intended_at) - STILL_LANDING
        return any(
            other.submission_id != submission.submission_id
            and sorted(other.scenario_ids) == sorted(submission.scenario_ids)
            and other.cekura_agent_id == submission.cekura_agent_id
            and (other.sent_at or other.intended_at) >= since
            for other in others
        )

    async def _candidates(self, submission: Submission) -> list[AcceptedSubmission]:
        if submission.sent_at is None:
            return []
        try:
            results = await self._remotes.cekura.list_results(
                cekura_agent_id=submission.cekura_agent_id, since=submission.sent_at - CLOCK_SLACK
            )
        except RemoteError:
            return []
        known = await self._roster.read(submission_rows.known_result_ids)
        return find_lost(submission, results, known_result_ids=known)

    async def _witness(self, group: Sequence[Candidate]) -> str | None:
        """Why the one result found is believed to be ours; None while a witness that could be had is missing.

        Somebody else may run the same scenarios in the same minute. A second participant in a room of ours can only
        be the tester that our submission called.
        """
        reachable = False
        for candidate in group:
            room_url = self._roster.sessions[candidate.nonce].room_url or ""
            try:
                client = await self._remotes.daily_for(room_url)
                if client is None:
                    continue
                reachable = True
                present = await client.presence(self._remotes.address(room_url).name)
            except RemoteError:
                reachable = True  # it cannot be asked now: ask again
                continue
            if len(present) > 1:
                return "a tester being in its room"
        return None if reachable else UNWITNESSED


async def give_up_submissions(roster: Roster) -> None:
    """Leave none open: one whose runs had ended when a process died is taken up by nobody any more."""
    query = partial(submission_rows.list_submissions, batch_id=roster.batch.batch_id)
    for submission in await roster.read(query):
        settle = partial(submission_rows.record_settled, submission_id=submission.submission_id)
        if submission.status is SubmissionStatus.SENT:
            note = unsettled_reason(submission)
            await roster.write_unit(partial(settle, status=SubmissionStatus.UNKNOWN, note=note))
            roster.observer.submission(SubmissionStatus.UNKNOWN.value)
        elif submission.status is SubmissionStatus.INTENT:
            await roster.write_unit(partial(settle, status=SubmissionStatus.REFUSED, note=NEVER_SENT))


def unsettled_reason(submission: Submission) -> str:
    """What an operator needs to look for a submission that nobody could settle."""
    at = submission.sent_at.isoformat(timespec="seconds") if submission.sent_at else "an unknown time"
    if submission.name:
        return UNFOUND.format(name=submission.name, at=at)
    agent = "Cekura" if submission.cekura_agent_id is None else f"Cekura's agent {submission.cekura_agent_id}"
    return UNSETTLED.format(agent=agent, at=at, scenarios=", ".join(map(str, submission.scenario_ids)))
