"""Settles the submissions of an automated channel: each of their runs learns what became of the POST that carried it.

Every submission bears a name that no other has. A lost answer is looked for by that name among the results created
since: what is found so is ours. What is not found within the plan's `timing.lookup` is `unknown`, and never sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.errors import Conflict, RemoteError
from orchestrator.domain.observation import AcceptedSubmission
from orchestrator.domain.run import Fact, Run, SubmissionAccepted, SubmissionFailed, SubmissionReturned
from orchestrator.domain.submission import Submission, SubmissionStatus, pair_runs
from orchestrator.engine.remotes import Remotes, sentence
from orchestrator.engine.roster import Roster
from orchestrator.engine.settlement import CLOCK_SLACK, LOOK_AGAIN, unsettled_reason
from orchestrator.store import submissions as submission_rows

MISSING: Final = "Cekura's result {result} holds no run for it ({given} runs for {asked})"
SURPLUS: Final = "it made {count} more runs than it was asked for, whose calls are ended"
EndCall = Callable[[int], Awaitable[None]]


class AutomatedSettlement:
    """Settles the submissions of one batch. `end_call` ends a call that nobody of ours follows."""

    def __init__(self, *, roster: Roster, remotes: Remotes, clock: Clock, speed: float, end_call: EndCall) -> None:
        self._roster = roster
        self._remotes = remotes
        self._clock = clock
        self._speed = speed
        self._end_call = end_call

    def carried(self, submission: Submission) -> list[Run]:
        """The runs that a submission was to carry, whatever became of them since."""
        return [run for run in self._roster.runs.values() if run.submission_id == submission.submission_id]

    async def accept(self, submission: Submission, answer: AcceptedSubmission, *, note: str = "") -> None:
        """Pair the runs with those of the answer, as one commit; what nobody follows is ended at once."""
        self._roster.answered[submission.submission_id] = answer
        try:
            await self._accept(submission, answer, note=note)
        finally:
            del self._roster.answered[submission.submission_id]

    async def _accept(self, submission: Submission, answer: AcceptedSubmission, *, note: str) -> None:
        ours, result_id = self.carried(submission), answer.cekura_result_id
        pairing = pair_runs(ours, answer.runs)
        now = self._clock.now()
        facts: dict[str, Fact] = {
            run_id: SubmissionAccepted(at=now, cekura_run_id=run.cekura_run_id, cekura_result_id=result_id)
            for run_id, run in pairing.paired
        }
        reason = MISSING.format(result=result_id, given=len(answer.runs), asked=len(ours))
        facts |= {run_id: SubmissionFailed(at=now, reason=reason) for run_id in pairing.missing}
        if pairing.surplus:
            note = "; ".join(filter(None, (note, SURPLUS.format(count=len(pairing.surplus)))))
            logger.warning("Cekura made runs that were not asked for", result=result_id, runs=len(pairing.surplus))
        try:
            await self._settle(submission, facts, SubmissionStatus.ACCEPTED, note=note, result_id=result_id)
        except Conflict:  # another row holds the result: whose calls these are, nobody can say
            await self.leave_unknown(submission)
            return
        runs = self._roster.runs
        late = [run for run_id, run in pairing.paired if runs[run_id].cekura_run_id != run.cekura_run_id]
        await asyncio.gather(*(self._end_call(run.cekura_run_id) for run in (*late, *pairing.surplus)))

    async def give_back(self, submission: Submission, *, note: str) -> None:
        """A POST that certainly did nothing: another one may carry its runs."""
        fact = SubmissionReturned(at=self._clock.now(), reason=note)
        await self._settle(submission, self._all(submission, fact), SubmissionStatus.REFUSED, note=note)

    async def reject(self, submission: Submission, error: RemoteError) -> None:
        """Cekura refused for good; its words go beside each run."""
        fact = SubmissionFailed(at=self._clock.now(), reason=sentence(error))
        await self._settle(submission, self._all(submission, fact), SubmissionStatus.REJECTED, note=str(error))

    async def look_up(self, submission: Submission) -> bool:
        """Find what a lost submission made, by reading only; in the end it is `unknown`.

        True where its calls may well be under way: not even the list told that there is no result of its name.
        """
        self._roster.observer.submission("lost")
        interval = min(LOOK_AGAIN / self._speed, self._roster.plan.timing.lookup / 4)
        until = self._clock.monotonic() + self._roster.plan.timing.lookup
        named: list[AcceptedSubmission] | None = None
        while self._clock.monotonic() < until:
            await self._clock.sleep(interval)
            named = await self._named(submission)
            found = self._settling(submission, named or [], partly=self._clock.monotonic() >= until - interval)
            if found is not None:
                note = f"its answer was lost; found as result {found.cekura_result_id} by its name"
                await self.accept(submission, found, note=note)
                return False
        await self.leave_unknown(submission)
        return named != []

    async def leave_unknown(self, submission: Submission) -> None:
        """Say what could not be settled, with what an operator needs to look for it."""
        reason = unsettled_reason(submission)
        fact = SubmissionFailed(at=self._clock.now(), reason=reason)
        await self._settle(submission, self._all(submission, fact), SubmissionStatus.UNKNOWN, note=reason)

    async def _named(self, submission: Submission) -> list[AcceptedSubmission] | None:
        """The results of this submission's name; None where they cannot be read."""
        if submission.sent_at is None:
            return []
        try:
            return await self._remotes.cekura.list_results(
                cekura_agent_id=submission.cekura_agent_id,
                since=submission.sent_at - CLOCK_SLACK,
                name=submission.name,
            )
        except RemoteError:
            return None

    def _settling(
        self, submission: Submission, named: Sequence[AcceptedSubmission], *, partly: bool
    ) -> AcceptedSubmission | None:
        """The one result of its name with all its runs; `partly`: with those it has."""
        if len(named) != 1:
            return None
        whole = len(named[0].runs) >= len(self.carried(submission))
        return named[0] if whole or partly else None

    def _all(self, submission: Submission, fact: Fact) -> dict[str, Fact]:
        return {run.run_id: fact for run in self.carried(submission)}

    async def _settle(
        self,
        submission: Submission,
        facts: Mapping[str, Fact],
        status: SubmissionStatus,
        *,
        note: str,
        result_id: int | None = None,
    ) -> None:
        await self._roster.apply_all(
            facts, partial(_settled, submission_id=submission.submission_id, status=status, note=note, result=result_id)
        )
        self._roster.observer.submission(status.value)


def _settled(connection: Any, *, submission_id: str, status: SubmissionStatus, note: str, result: int | None) -> bool:
    submission_rows.record_settled(connection, submission_id, status, cekura_result_id=result, note=note)
    return True
