"""Statements on submissions: `intent` -> `sent` is a committed compare-and-swap before the one POST."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.budget import NO_LIMITS, SharedLimits
from orchestrator.domain.errors import Conflict
from orchestrator.domain.submission import Submission, SubmissionStatus
from orchestrator.store import sessions
from orchestrator.store.batches import going_on
from orchestrator.store.budget import shared_calls_left
from orchestrator.store.locks import may_be_rerun
from orchestrator.store.tables import submissions

_OLDEST_FIRST: Final = (submissions.c.intended_at, submissions.c.submission_id)


def record_intent(
    connection: Connection,
    submission: Submission,
    nonces: Sequence[str],
    *,
    shared: SharedLimits = NO_LIMITS,
    until_judged: bool = True,
) -> bool:
    """Insert a submission and give it its sessions, as one unit; False if one of them is not free, or no call is.

    `shared`: how many calls all batches may have at once; `until_judged`: an evaluation still holds its call's slot.
    """
    if may_be_rerun(connection):
        known = select(submissions.c.status).where(submissions.c.submission_id == submission.submission_id)
        status = connection.execute(known).scalar_one_or_none()
        if status is not None:
            return bool(status == SubmissionStatus.INTENT.value)
    left = shared_calls_left(connection, limits=shared, until_judged=until_judged)
    if left is not None and len(nonces) > left:
        return False
    _insert(connection, submission)
    if sessions.attach_submission(connection, nonces, submission.submission_id):
        return True
    record_settled(connection, submission.submission_id, SubmissionStatus.REFUSED, note="a session was no longer free")
    return False


def record_automated_intent(
    connection: Connection,
    submission: Submission,
    *,
    least: int,
    shared: SharedLimits = NO_LIMITS,
    until_judged: bool = True,
) -> Submission | None:
    """Insert a submission of an automated channel with as many calls at once as all batches leave it.

    Its `calls` are what it would take. None where fewer than `least` are left: it is worth waiting then.
    """
    if may_be_rerun(connection):
        known = select(submissions).where(submissions.c.submission_id == submission.submission_id)
        row = connection.execute(known).one_or_none()
        if row is not None:
            return _submission(row) if row.status == SubmissionStatus.INTENT.value else None
    left = shared_calls_left(connection, limits=shared, until_judged=until_judged)
    wanted = submission.calls or 1
    calls = wanted if left is None else min(wanted, left)
    if calls < least:
        return None
    granted = replace(submission, calls=calls)
    _insert(connection, granted)
    return granted


def _insert(connection: Connection, submission: Submission) -> None:
    connection.execute(
        insert(submissions).values(
            submission_id=submission.submission_id,
            batch_id=submission.batch_id,
            status=submission.status.value,
            intended_at=submission.intended_at,
            cekura_agent_id=submission.cekura_agent_id,
            scenario_ids=list(submission.scenario_ids),
            note="",
            name=submission.name,
            calls=submission.calls,
        )
    )


def record_sent(connection: Connection, submission_id: str, *, at: datetime) -> bool:
    """Take the one permission to POST; False if it was taken before (by another `at`), or if the batch is ending."""
    swapped = connection.execute(
        update(submissions)
        .where(
            submissions.c.submission_id == submission_id,
            submissions.c.status == SubmissionStatus.INTENT.value,
            going_on(submissions.c.batch_id),
        )
        .values(status=SubmissionStatus.SENT.value, sent_at=at)
    )
    if swapped.rowcount == 1 or not may_be_rerun(connection):
        return swapped.rowcount == 1
    ours = (submissions.c.status == SubmissionStatus.SENT.value) & (submissions.c.sent_at == at)
    query = select(submissions.c.submission_id).where(submissions.c.submission_id == submission_id, ours)
    return connection.execute(query).first() is not None


def record_settled(
    connection: Connection,
    submission_id: str,
    status: SubmissionStatus,
    *,
    cekura_result_id: int | None = None,
    note: str = "",
) -> None:
    """Note what became of a submission; one that certainly did not act gives its sessions back.

    Conflict when another row, of any batch, holds that result: its runs are that one's.
    """
    settled = update(submissions).where(submissions.c.submission_id == submission_id)
    try:
        connection.execute(settled.values(status=status.value, cekura_result_id=cekura_result_id, note=note))
    except IntegrityError:
        raise Conflict(f"Cekura's result {cekura_result_id} is already held by another row") from None
    if status is SubmissionStatus.REFUSED:
        sessions.detach_submission(connection, submission_id)


def record_shared(connection: Connection, submission_id: str, *, shared_url: str) -> None:
    """Keep the link by which a result may be read."""
    settled = update(submissions).where(submissions.c.submission_id == submission_id)
    connection.execute(settled.values(shared_url=shared_url))


def list_submissions(connection: Connection, batch_id: str) -> list[Submission]:
    """All submissions of a batch, oldest first."""
    query = select(submissions).where(submissions.c.batch_id == batch_id).order_by(*_OLDEST_FIRST)
    return [_submission(row) for row in connection.execute(query)]


def list_uncertain(connection: Connection) -> list[Submission]:
    """The submissions of all batches of which nobody knows what they did, or not yet."""
    uncertain = [SubmissionStatus.SENT.value, SubmissionStatus.UNKNOWN.value]
    query = select(submissions).where(submissions.c.status.in_(uncertain)).order_by(*_OLDEST_FIRST)
    return [_submission(row) for row in connection.execute(query)]


def known_result_ids(connection: Connection) -> frozenset[int]:
    """Every Cekura result that a row holds, of any batch."""
    rows = connection.execute(select(submissions.c.cekura_result_id).where(submissions.c.cekura_result_id.is_not(None)))
    return frozenset(row.cekura_result_id for row in rows)


def _submission(row: Row[Any]) -> Submission:
    return Submission(
        submission_id=row.submission_id,
        batch_id=row.batch_id,
        status=SubmissionStatus(row.status),
        intended_at=row.intended_at,
        cekura_agent_id=row.cekura_agent_id,
        scenario_ids=tuple(row.scenario_ids),
        sent_at=row.sent_at,
        cekura_result_id=row.cekura_result_id,
        note=row.note,
        name=row.name,
        calls=row.calls,
        shared_url=row.shared_url,
    )
