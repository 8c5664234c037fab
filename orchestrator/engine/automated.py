"""Submits the runs of an automated channel: Cekura starts and ends the sessions, and is told how many calls at once.

One POST carries many runs: all scenarios with one personality and test profile. It takes as many calls as the plan, the
other batches and its own runs leave it, from its committed intent to the ends of its calls. `intent` -> `sent` is
committed before the one POST. What its answer means, or its loss, is `automated_settlement`'s to say. The first goes
alone: a refusal there ends the batch before it costs anything.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.errors import (
    OutcomeUnknown,
    RemoteAuthFailed,
    RemoteBusy,
    RemoteError,
    RemoteProtocolError,
    RemoteUnavailable,
)
from orchestrator.domain.observation import AutomatedSubmission
from orchestrator.domain.plan import SlotRule
from orchestrator.domain.retry import hold_off_seconds
from orchestrator.domain.run import WITH_CEKURA, Fact, NeverStarted, Run, RunStatus, SubmissionIntended
from orchestrator.domain.submission import Portion, Submission, SubmissionStatus, least_calls, plan_portions
from orchestrator.engine.automated_request import automated_request, most_frequent, submission_name
from orchestrator.engine.automated_settlement import AutomatedSettlement, EndCall
from orchestrator.engine.remotes import Remotes, sentence
from orchestrator.engine.roster import Roster
from orchestrator.engine.settlement import NEVER_SENT
from orchestrator.plans.estimation import calls_at_once
from orchestrator.plans.section import MAX_RUNS
from orchestrator.store import submissions as submission_rows

LONGEST_WAIT: Final = 15.0
LOOK_EVERY: Final = 1.0
HOLDING: Final = frozenset({RunStatus.PLANNED, RunStatus.SUBMITTED, RunStatus.IN_CALL})


class AutomatedSubmitter:
    """Submits the runs of one batch.

    `refuse` ends the batch before it costs anything, with the reason. `held_back`: nothing new is begun for now.
    """

    def __init__(
        self,
        *,
        roster: Roster,
        remotes: Remotes,
        clock: Clock,
        environ: Mapping[str, str],
        speed: float,
        end_call: EndCall,
        refuse: Callable[[str], None],
        held_back: Callable[[], bool],
    ) -> None:
        self._roster = roster
        self._remotes = remotes
        self._clock = clock
        self._environ = environ
        self._speed = speed
        self._settlement = AutomatedSettlement(
            roster=roster, remotes=remotes, clock=clock, speed=speed, end_call=end_call
        )
        self._refuse = refuse
        self._held_back = held_back
        self._most = min(calls_at_once(roster.plan), roster.shared.calls or MAX_RUNS)  # more is never free
        self._longest_call = timedelta(seconds=roster.plan.timeouts.run)
        self._submissions: dict[str, Submission] = {}
        self._unsettled: set[str] = set()  # submissions in a POST or being looked up: their calls may be under way
        self._sizes: dict[str, int] = {}  # how many runs each submission was to carry
        self._doubted: dict[str, datetime] = {}  # submissions given up whose calls may be under way, and until when
        self._proven = False  # some submission was taken, or may have been: what is refused now is not for nothing
        self._failures = 0
        self._hold_until = 0.0
        self._refused_since: float | None = None

    def unsettled(self) -> set[str]:
        """The runs carried by a POST of which there is no word yet: their calls may be under way, unnamed."""
        planned = self._roster.of_status(RunStatus.PLANNED)
        return {run.run_id for run in planned if run.submission_id in self._unsettled}

    def patience(self, run: Run) -> timedelta:
        """How long after its submission a run's call may begin and end: its turn comes after others of its result."""
        submission = self._submissions.get(run.submission_id or "")
        return self._patience(submission) if submission is not None else self._longest_call

    def _patience(self, submission: Submission) -> timedelta:
        turns = math.ceil(self._sizes[submission.submission_id] / (submission.calls or self._most))
        return self._longest_call * max(1, turns)

    async def run(self) -> None:
        """Submit until every run has its outcome; call `recover` before."""
        bell = self._roster.bell()
        async with asyncio.TaskGroup() as posts:
            for submission_id in list(self._unsettled):
                submission = self._submissions[submission_id]
                posts.create_task(self._look_up_left(submission), name=f"look up {submission_id}")
            while not self._roster.finished:
                if not await self._begin_one(posts):
                    await bell.wait(LOOK_EVERY / self._speed)

    # --- what an earlier process began ---------------------------------------------------------------------------

    async def recover(self) -> None:
        """Take up what an earlier process began; before the batch may be ended, so that nobody is ended unasked."""
        query = partial(submission_rows.list_submissions, batch_id=self._roster.batch.batch_id)
        for submission in await self._roster.read(query):
            self._note(submission, size=len(self._settlement.carried(submission)))
            self._proven |= submission.status in {SubmissionStatus.ACCEPTED, SubmissionStatus.UNKNOWN}
            if submission.status is SubmissionStatus.INTENT:
                await self._settlement.give_back(submission, note=NEVER_SENT)
            elif submission.status is SubmissionStatus.SENT:
                self._unsettled.add(submission.submission_id)

    async def _look_up_left(self, submission: Submission) -> None:
        try:
            await self._look_up(submission)
        finally:
            self._unsettled.discard(submission.submission_id)
            self._roster.ring()

    async def _look_up(self, submission: Submission) -> None:
        """Look for what a lost answer was about; where not even that can be seen, its calls count until they are over.

        Whatever comes of it, something may have been paid for.
        """
        doubted = await self._settlement.look_up(submission)
        self._proven = True
        if doubted:
            since = submission.sent_at or submission.intended_at
            self._doubted[submission.submission_id] = since + self._patience(submission)

    def _note(self, submission: Submission, *, size: int) -> None:
        self._submissions[submission.submission_id] = submission
        self._sizes[submission.submission_id] = size

    # --- what goes next --------------------------------------------------------------------------------------------

    async def _begin_one(self, posts: asyncio.TaskGroup) -> bool:
        portion = self._due()
        if portion is None:
            return False
        wanted = min(self._most, len(portion.run_ids))
        least, free = least_calls(wanted), self._most - self._held()
        if free < least:
            return False
        submission = self._intent(portion, calls=min(wanted, free))
        intent = partial(
            submission_rows.record_automated_intent,
            submission=submission,
            least=least,
            shared=self._roster.shared,
            until_judged=self._roster.plan.limits.call_slot_until is not SlotRule.CALL_ENDED,
        )
        fact: Fact = SubmissionIntended(at=submission.intended_at, submission_id=submission.submission_id)
        granted = await self._roster.apply_all(dict.fromkeys(portion.run_ids, fact), intent)
        if granted is None:
            return False
        self._note(granted, size=len(portion.run_ids))
        self._unsettled.add(granted.submission_id)
        posts.create_task(self._submit(granted, portion), name=f"submit {granted.submission_id}")
        return True

    def _due(self) -> Portion | None:
        """The next POST, were there calls for it; none while the first, or the last refused for now, is waited for."""
        if self._roster.closing or self._held_back() or self._clock.monotonic() < self._hold_until:
            return None
        if not self._proven and self._unsettled:
            return None
        waiting = self._waiting()
        most = most_frequent(self._roster.plan.channel)
        return plan_portions(waiting, most_frequent=most)[0] if waiting else None

    def _waiting(self) -> list[Run]:
        return [run for run in self._roster.of_status(RunStatus.PLANNED) if run.waits]

    def _held(self) -> int:
        """How many calls this batch's submissions hold: as `store/budget` counts, and those nobody can rule out."""
        now = self._clock.now()
        doubted = (self._submissions[one] for one, until in self._doubted.items() if now < until)
        held = sum(min(self._sizes[one.submission_id], one.calls or self._most) for one in doubted)
        runs: dict[str, int] = {}
        for run in self._roster.of_status(*HOLDING):
            if run.submission_id is not None:
                runs[run.submission_id] = runs.get(run.submission_id, 0) + 1
        return held + sum(min(count, self._submissions[one].calls or count) for one, count in runs.items())

    def _intent(self, portion: Portion, *, calls: int) -> Submission:
        plan, batch_id, submission_id = self._roster.plan, self._roster.batch.batch_id, str(uuid.uuid4())
        return Submission(
            submission_id=submission_id,
            batch_id=batch_id,
            status=SubmissionStatus.INTENT,
            intended_at=self._clock.now(),
            cekura_agent_id=plan.cekura_agent_id,
            scenario_ids=portion.scenario_ids,
            name=submission_name(plan, batch_id=batch_id, submission_id=submission_id[:8]),
            calls=calls,
        )

    # --- the one POST ----------------------------------------------------------------------------------------------

    async def _submit(self, submission: Submission, portion: Portion) -> None:
        try:
            await self._post(submission, self._request(submission, portion))
        finally:
            self._unsettled.discard(submission.submission_id)
            self._roster.posting.discard(submission.submission_id)
            self._roster.ring()

    async def _post(self, submission: Submission, request: AutomatedSubmission) -> None:
        """Make the one POST of a submission.

        May it be repeated: no. A lost answer: looked for by its name. Committed first: the submission as `sent`. If we
        die here: the row is found `sent`, and a resumed batch looks it up; Cekura ends its own sessions either way.
        """
        sent_at = self._clock.now()
        sent = partial(submission_rows.record_sent, submission_id=submission.submission_id, at=sent_at)
        if not await self._roster.write_unit(sent) or not await self._roster.sure():
            return
        submission = self._submissions[submission.submission_id] = replace(
            submission, status=SubmissionStatus.SENT, sent_at=sent_at
        )
        if self._roster.closing:  # the state kept it waiting, and nobody would follow its calls any more
            await self._settlement.give_back(submission, note="its batch was ending before it could be sent")
            return
        self._roster.posting.add(submission.submission_id)
        try:
            answer = await self._remotes.cekura.submit_automated(request)
        except (RemoteBusy, RemoteUnavailable) as error:
            await self._settlement.give_back(submission, note=str(error))
            await self._refused_for_now(error)
        except (OutcomeUnknown, RemoteProtocolError) as error:
            logger.warning("the answer to a submission was lost; looking it up", error=str(error))
            await self._look_up(submission)
        except RemoteError as error:
            await self._refused(submission, error)
        else:
            self._failures, self._refused_since, self._proven = 0, None, True
            await self._settlement.accept(submission, answer)

    def _request(self, submission: Submission, portion: Portion) -> AutomatedSubmission:
        runs = (self._roster.runs[run_id] for run_id in portion.run_ids)
        return automated_request(
            self._roster.plan, portion, runs, name=submission.name, calls=submission.calls, environ=self._environ
        )

    # --- refusals --------------------------------------------------------------------------------------------------

    async def _refused(self, submission: Submission, error: RemoteError) -> None:
        """What Cekura makes of one request it makes of all: the first refusal, or one of the key, ends the batch."""
        if isinstance(error, RemoteAuthFailed) or not self._proven:
            self._refuse(sentence(error))
        await self._settlement.reject(submission, error)

    async def _refused_for_now(self, error: RemoteError) -> None:
        """Wait and ask again; when nothing of ours is under way, only for as long as the plan waits for capacity."""
        self._failures += 1
        told = error.retry_after if isinstance(error, RemoteBusy) else None
        patience = self._roster.plan.timeouts.capacity
        wait = hold_off_seconds(self._failures, told=told, longest=LONGEST_WAIT, patience=patience, speed=self._speed)
        self._hold_until = self._clock.monotonic() + wait
        logger.info("submission refused for now", error=str(error), wait=wait)
        if self._roster.count(*WITH_CEKURA):
            self._refused_since = None
            return
        self._refused_since = self._refused_since or self._clock.monotonic()
        waited = self._clock.monotonic() - self._refused_since
        if waited >= patience:
            fact = NeverStarted(at=self._clock.now(), reason=f"{sentence(error)} (waited {waited:.0f} s)")
            await asyncio.gather(*(self._roster.apply(run.run_id, fact) for run in self._waiting()))
