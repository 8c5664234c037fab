"""Takes a batch up where a dead process left it, and settles starts whose answer was lost while it lives.

The rows say what may have happened. An intent was never sent; a `sent` start is looked up by its mark; a `sent`
submission is looked up in Cekura's list. Nothing is repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from orchestrator.clock import Clock
from orchestrator.domain.errors import Conflict
from orchestrator.domain.run import Run, RunStatus, SessionLost, SessionStarted, StartRefused, StartUnsettled
from orchestrator.domain.session import Session, SessionStatus
from orchestrator.domain.submission import Submission, SubmissionStatus
from orchestrator.engine.lookup import SHOWN_WITHIN, Found, StartLookup
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.roster import Roster
from orchestrator.engine.settlement import NEVER_SENT
from orchestrator.engine.submitter import Submitter, candidate_of
from orchestrator.store import sessions as session_rows
from orchestrator.store import submissions as submission_rows

LOOK_AGAIN: Final = 5.0
INTERRUPTED: Final = "the process ended before its start was sent"
UNSETTLED: Final = (
    "its start answer was lost and {nothing}: sent at {at}, it may have begun a session of {agent} with the mark "
    "{mark}; if it did, {ends_by} ends it by {ends_at}. It was not started again"
)
FOUND_WITHOUT_ROOM: Final = "its start answer was lost; the session was found, but not its room"


class Recovery:
    """Settles what is uncertain in one batch."""

    def __init__(
        self,
        *,
        roster: Roster,
        remotes: Remotes,
        shared: bool,
        clock: Clock,
        speed: float,
        worker_id: Callable[[], str],
    ) -> None:
        self._roster = roster
        self._remotes = remotes
        self._clock = clock
        self._lookup = StartLookup(remotes=remotes, read=roster.read, shared=shared, worker_id=worker_id)
        self._interval = LOOK_AGAIN / speed
        self._shown_within = SHOWN_WITHIN / speed

    async def recover(self, *, submitter: Submitter, tasks: asyncio.TaskGroup) -> None:
        """Bring every unfinished run to a state that the loops understand."""
        for run in self._roster.of_status(RunStatus.STARTING):
            session = self._roster.session_of(run)
            if session is not None:
                await self._recover_start(run, session, tasks)
        submissions = await self._roster.read(
            partial(submission_rows.list_submissions, batch_id=self._roster.batch.batch_id)
        )
        for submission in submissions:
            await self._recover_submission(submission, submitter, tasks)

    async def _recover_start(self, run: Run, session: Session, tasks: asyncio.TaskGroup) -> None:
        match session.status:
            case SessionStatus.INTENT | SessionStatus.REFUSED:
                note = partial(
                    session_rows.record_status, nonce=session.nonce, status=SessionStatus.REFUSED, note=INTERRUPTED
                )
                fact = StartRefused(at=self._clock.now(), reason=INTERRUPTED, for_now=True)
                await self._roster.apply(run.run_id, fact, also=note)
            case SessionStatus.ALIVE:
                await self._roster.apply(run.run_id, SessionStarted(at=self._clock.now()))
            case SessionStatus.SENT | SessionStatus.LOST:
                self.look_for(session, tasks=tasks)

    async def _recover_submission(self, submission: Submission, submitter: Submitter, tasks: asyncio.TaskGroup) -> None:
        held = [
            session for session in self._roster.sessions.values() if session.submission_id == submission.submission_id
        ]
        group = [
            candidate_of(run, session)
            for session in held
            if (run := self._roster.runs[session.run_id]).status is RunStatus.READY and run.nonce == session.nonce
        ]
        if submission.status is SubmissionStatus.INTENT:
            refused = partial(
                submission_rows.record_settled,
                submission_id=submission.submission_id,
                status=SubmissionStatus.REFUSED,
                note=NEVER_SENT,
            )
            await self._roster.write_unit(refused)
            for session in held:
                await self._roster.write_session(partial(session_rows.get_session, nonce=session.nonce))
        elif group or submission.status is SubmissionStatus.SENT:
            submitter.resume(submission, group, tasks)

    def look_for(self, session: Session, *, tasks: asyncio.TaskGroup) -> None:
        """Look for a lost session in the background; its run waits for the answer."""
        tasks.create_task(self._settle(session), name=f"look for {session.nonce}")

    async def _settle(self, session: Session) -> None:
        lookup = self._roster.plan.timing.lookup
        until = self._clock.monotonic() + lookup
        shown_by: float | None = None
        while self._clock.monotonic() < until and not self._roster.runs[session.run_id].status.final:
            over = self._clock.monotonic() >= min(until, shown_by or until) - self._interval
            found = await self._look(session, partly=over)
            if found is not None and (found.whole or over):
                return
            if found is not None and shown_by is None:
                shown_by = self._clock.monotonic() + self._shown_within
            await self._clock.sleep(min(self._interval, lookup / 4))
        fact = StartUnsettled(at=self._clock.now(), reason=self._unsettled(session))
        await self._roster.apply(session.run_id, fact)

    def _unsettled(self, session: Session) -> str:
        return UNSETTLED.format(
            nothing=self._lookup.found_nothing(session),
            at=(session.sent_at or session.intended_at).isoformat(timespec="seconds"),
            agent=session.agent_address,
            mark=session.nonce,
            ends_by=session.ends_by,
            ends_at=session.ends_at.isoformat(timespec="seconds"),
        )

    async def _look(self, session: Session, *, partly: bool) -> Found | None:
        """Look once, and take over what was found: all of it, or `partly` what there is."""
        async with self._remotes.adopting:
            found = await self._lookup.find(session, exclusive=self._roster.plan.agent.exclusive)
            if found is not None and (found.whole or partly):
                try:
                    await self._adopt(session, found)
                except Conflict:
                    return None  # another row came to hold it in the meantime
            return found

    async def _adopt(self, session: Session, found: Found) -> None:
        """Take over what was found by its mark; without a room it can only be torn down, and the run starts anew."""
        now = self._clock.now()
        answer = partial(
            session_rows.record_answer,
            nonce=session.nonce,
            at=now,
            session_id=found.session_id,
            room_url=found.room_url,
            meeting_token=None,
        )
        lost = SessionLost(at=now, reason=FOUND_WITHOUT_ROOM)
        fact = SessionStarted(at=now) if found.room_url is not None else lost
        await self._roster.apply(session.run_id, fact, also=answer)
