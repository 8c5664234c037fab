"""The teardown statement: every session and room we caused, when, how it is known to be gone, or what ends it when.

It is drawn from the rows alone, so that `run`, `batches show`, `gc` and their documents say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from orchestrator.domain.session import End, Session, SessionStatus, Teardown
from orchestrator.domain.submission import Submission, SubmissionStatus

ROOM_EXPIRY: Final = "the room's own expiry, which puts out whoever is in it"
NEVER_SENT: Final = "nothing to end: its start was never sent"
START_UNCERTAIN: Final = (
    "the answer to its start was lost and nothing was found of it: {agent} may have begun a session at {at}, which "
    "would bear the mark {mark}; if it did, {ends_by} ends it"
)


def teardown_statement(sessions: Sequence[Session], submissions: Sequence[Submission] = ()) -> dict[str, Any]:
    """The statement as JSON; times in UTC.

    `sessions`, `rooms`: how many were caused. `confirmed`: how many of their ends are. `items`: each end, whatever its
    state. `bounded`, `left`: those not confirmed, `by` what and `until` when they end by themselves. `uncertain`:
    starts and submissions of which nobody knows what they did.
    """
    caused = sorted((session for session in sessions if session.exists), key=lambda one: (one.run_id, one.attempt))
    items = [item for session in caused for item in _items(session)]
    return {
        "sessions": len(caused),
        "rooms": sum(1 for session in caused if session.room_url),
        "confirmed": sum(item["state"] == Teardown.CONFIRMED for item in items),
        "bounded": [item for item in items if item["state"] == Teardown.BOUNDED],
        "left": [item for item in items if item["state"] in {Teardown.OPEN, Teardown.UNKNOWN}],
        "uncertain": [*_uncertain_starts(caused), *_uncertain_submissions(caused, submissions)],
        "items": items,
    }


def end_item(what: str, name: str | None, end: End, *, ends_by: str, ends_at: datetime | None) -> dict[str, Any]:
    """One end: `how` and `at` it was confirmed, or `by` what and `until` when it ends; `how` is then the last trouble.

    `ends_by` and `ends_at` are what ends it by itself; a bound names that itself.
    """
    confirmed, bounded = end.state is Teardown.CONFIRMED, end.state is Teardown.BOUNDED
    until = None if confirmed else end.at if bounded else ends_at
    return {
        "what": what,
        "id": name,
        "state": end.state.value,
        "how": end.how or None,
        "at": moment(end.at) if confirmed else None,
        "by": None if confirmed else end.how if bounded else ends_by,
        "until": moment(until),
    }


def moment(at: datetime | None) -> str | None:
    """A moment as the documents write it."""
    return at.isoformat() if at else None


def _items(session: Session) -> Iterator[dict[str, Any]]:
    never_sent = session.status is SessionStatus.INTENT
    by = (NEVER_SENT, NEVER_SENT) if never_sent else (session.ends_by, ROOM_EXPIRY)
    at = (None, None) if never_sent else (session.ends_at, session.room_expires_at)
    whose = {
        "run": session.run_id,
        "attempt": session.attempt,
        "mark": session.nonce,
        "started_at": moment(session.sent_at or session.intended_at),
    }
    yield end_item("session", session.session_id, session.session_end, ends_by=by[0], ends_at=at[0]) | whose
    yield end_item("room", session.room_url, session.room_end, ends_by=by[1], ends_at=at[1]) | whose


def _uncertain_starts(sessions: Iterable[Session]) -> Iterator[dict[str, Any]]:
    """Starts that were given up unanswered; one that is still under way, or was found, is certain enough."""
    for session in sessions:
        given_up = session.status is SessionStatus.SENT and session.condemned_at is not None
        if session.status not in {SessionStatus.LOST, SessionStatus.UNFOUND} and not given_up:
            continue
        sent = session.sent_at or session.intended_at
        reason = START_UNCERTAIN.format(
            agent=session.agent_address,
            at=sent.isoformat(timespec="seconds"),
            mark=session.nonce,
            ends_by=f"{session.ends_by} by {session.ends_at.isoformat(timespec='seconds')}",
        )
        yield _uncertain("start", session, reason, at=sent, until=session.ends_at)


def _uncertain_submissions(sessions: Iterable[Session], submissions: Sequence[Submission]) -> Iterator[dict[str, Any]]:
    unknown = {one.submission_id: one for one in submissions if one.status is SubmissionStatus.UNKNOWN}
    for session in sessions:
        submission = unknown.get(session.submission_id or "")
        if submission is not None:
            yield _uncertain("submission", session, submission.note, at=submission.sent_at, until=None)
    for submission in unknown.values():
        if submission.name:  # of an automated channel: it carried many runs, and no session of ours
            yield _uncertain("submission", None, submission.note, at=submission.sent_at, until=None)


def _uncertain(
    what: str, session: Session | None, reason: str, *, at: datetime | None, until: datetime | None
) -> dict[str, Any]:
    return {
        "what": what,
        "run": session.run_id if session is not None else None,
        "attempt": session.attempt if session is not None else None,
        "reason": reason,
        "at": moment(at),
        "until": moment(until),
    }
