"""Statements on sessions: intent before the call, condemnation once and for all, the reaper's claim."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Executable,
    and_,
    bindparam,
    case,
    false,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.budget import NO_LIMITS, SharedLimits
from orchestrator.domain.errors import Conflict, NotFound
from orchestrator.domain.page import Moment
from orchestrator.domain.plan import Evidence
from orchestrator.domain.secret import MeetingToken
from orchestrator.domain.session import SETTLED, End, Session, SessionStatus, Teardown
from orchestrator.store.batches import going_on
from orchestrator.store.budget import has_room, has_shared_room, note_one_more
from orchestrator.store.keyset import below, called
from orchestrator.store.locks import may_be_rerun
from orchestrator.store.remnants import note_token_left
from orchestrator.store.session_row import session_of, values_of
from orchestrator.store.tables import UtcTime, batches, pools, sessions

# The statements of a session's way are put together once: to do so each time costs three times what they do themselves.
_OF: Final = sessions.c.nonce == bindparam("of_session")
_UNCONDEMNED: Final = sessions.c.condemned_at.is_(None)

_INTENT: Final = insert(sessions)
_SENT: Final = (
    update(sessions)
    .where(_OF, sessions.c.status == SessionStatus.INTENT.value, _UNCONDEMNED, going_on(sessions.c.batch_id))
    .values(status=SessionStatus.SENT.value, sent_at=bindparam("at"))
    .returning(*sessions.c)
)
_ANSWER: Final = (
    update(sessions)
    .where(_OF)
    .values(
        status=SessionStatus.ALIVE.value,
        answered_at=func.coalesce(sessions.c.answered_at, bindparam("at", type_=UtcTime)),
        session_id=func.coalesce(bindparam("made_session_id"), sessions.c.session_id),
        room_url=func.coalesce(bindparam("made_room_url"), sessions.c.room_url),
        meeting_token=case(
            (_UNCONDEMNED, func.coalesce(bindparam("made_token"), sessions.c.meeting_token)),
            else_=sessions.c.meeting_token,
        ),
        settled=False,
        teardown_next=None,
    )
    .returning(*sessions.c)
)
_STATUS: Final = (
    update(sessions)
    .where(_OF)
    .values(status=bindparam("status"), note=bindparam("note"), settled=bindparam("settled"))
    .returning(*sessions.c)
)
_READY: Final = (
    update(sessions)
    .where(_OF)
    .values(
        ready_at=bindparam("at"),
        evidence=bindparam("evidence"),
        seen_in_room_at=func.coalesce(bindparam("seen_at", type_=UtcTime), sessions.c.seen_in_room_at),
    )
    .returning(*sessions.c)
)
_CONDEMNED: Final = (
    update(sessions)
    .where(_OF, _UNCONDEMNED)
    .values(
        condemned_at=bindparam("at"),
        condemned_for=bindparam("reason"),
        meeting_token=None,
        teardown_from=bindparam("from_then"),
    )
    .returning(*sessions.c)
)
_CALLED: Final = (
    update(sessions).where(_OF).values(cekura_run_id=bindparam("call"), meeting_token=None).returning(*sessions.c)
)
_ROOM_SEEN: Final = update(sessions).where(_OF).values(room_seen_by=bindparam("by")).returning(*sessions.c)
_NOTE: Final = update(sessions).where(_OF).values(note=bindparam("note")).returning(*sessions.c)
_ONE: Final = select(sessions).where(_OF)


def _end_values(thing: str) -> dict[str, ColumnElement[Any]]:
    """A confirmed end is never taken back: each column of it stays, or takes what is new."""
    state = sessions.c[f"{thing}_end"]
    return {
        column.name: case(
            (state == Teardown.CONFIRMED.value, column), else_=bindparam(f"new_{column.name}", type_=column.type)
        )
        for column in (state, sessions.c[f"{thing}_end_how"], sessions.c[f"{thing}_end_at"])
    }


def _end_settled(thing: str) -> ColumnElement[bool]:
    settled = bindparam(f"{thing}_settled", type_=Boolean)
    return or_(sessions.c[f"{thing}_end"] == Teardown.CONFIRMED.value, settled)


_ENDS: Final = (
    update(sessions)
    .where(_OF)
    .values(
        **_end_values("session"),
        **_end_values("room"),
        settled=and_(_end_settled("session"), _end_settled("room")),
        teardown_next=bindparam("again_at"),
    )
    .returning(*sessions.c)
)


def record_intent(
    connection: Connection, session: Session, *, most: int, shared: SharedLimits = NO_LIMITS, soon: int = 0
) -> bool:
    """Insert a session with the budget it takes, as one unit; False (and no row) when the budget is full.

    `most` sessions of its batch may be held, and `shared` of all batches (`soon`: see `store.budget`).
    """
    if may_be_rerun(connection) and connection.execute(_ONE, {"of_session": session.nonce}).first() is not None:
        return True
    if not has_room(connection, session.batch_id, now=session.intended_at, most=most):
        return False
    if not has_shared_room(connection, now=session.intended_at, limits=shared, soon=soon):
        return False
    insert_intent(connection, session)
    note_one_more(connection, session.batch_id)
    return True


def insert_intent(connection: Connection, session: Session) -> None:
    """Insert a session's row; whoever calls has made sure, in this unit, that its budget has room."""
    connection.execute(_INTENT, values_of(session))


def record_sent(connection: Connection, nonce: str, *, at: datetime) -> Session | None:
    """Note that the start call is about to be made; None unless the row is an untouched intent of a batch going on.

    Run again after a commit whose answer was lost, it finds what it wrote: `at` tells.
    """
    row = connection.execute(_SENT, {"of_session": nonce, "at": at}).one_or_none()
    if row is None and may_be_rerun(connection):
        ours = (sessions.c.status == SessionStatus.SENT.value) & (sessions.c.sent_at == at) & _UNCONDEMNED
        row = connection.execute(select(sessions).where(sessions.c.nonce == nonce, ours)).one_or_none()
    return session_of(row) if row is not None else None


def record_answer(
    connection: Connection,
    nonce: str,
    *,
    at: datetime,
    session_id: str | None,
    room_url: str | None,
    meeting_token: MeetingToken | None,
) -> Session:
    """Note what the start made, however late; a condemned session stays condemned, now with its id.

    Returns the row as it is: what is None here stays as it was known, and a condemned row never takes a token.
    Conflict when another row, of any batch, holds that session of the agent.
    """
    made = {
        "made_session_id": session_id,
        "made_room_url": room_url,
        "made_token": meeting_token.reveal() if meeting_token is not None else None,
    }
    try:
        session = _changed(connection, _ANSWER, nonce, at=at, **made)
    except IntegrityError:
        raise Conflict(f"session {session_id} of this agent is already held by another row") from None
    note_one_more(connection, session.batch_id)  # where it had been given up as unfound, it counts again
    return session


def record_status(connection: Connection, nonce: str, status: SessionStatus, *, note: str) -> Session:
    """Note that a start was refused or its answer lost. A refused start leaves nothing to tear down."""
    refused = status is SessionStatus.REFUSED
    return _changed(connection, _STATUS, nonce, status=status.value, note=note, settled=refused)


def record_ready(connection: Connection, nonce: str, *, at: datetime, evidence: Evidence) -> Session:
    """Note on what evidence the bot is believed to be in its room."""
    seen_at = at if evidence in {Evidence.PRESENCE, Evidence.PROBE} else None
    return _changed(connection, _READY, nonce, at=at, evidence=evidence.value, seen_at=seen_at)


def record_condemned(
    connection: Connection, nonce: str, *, at: datetime, reason: str, teardown_from: datetime
) -> Session:
    """Condemn a session once and for all, and drop its token; a later call changes nothing but an earlier start."""
    note_token_left(connection)
    return _changed(connection, _CONDEMNED, nonce, at=at, reason=reason, from_then=teardown_from)


def condemn_batch(connection: Connection, batch_id: str, *, at: datetime, reason: str) -> int:
    """Condemn every session of a batch that is not yet; returns how many."""
    note_token_left(connection)
    condemned = connection.execute(
        update(sessions)
        .where(sessions.c.batch_id == batch_id, sessions.c.condemned_at.is_(None))
        .values(condemned_at=at, condemned_for=reason, meeting_token=None, teardown_from=at)
    )
    return condemned.rowcount


def record_ends(connection: Connection, nonce: str, *, session_end: End, room_end: End, again_at: datetime) -> Session:
    """Note how the teardown stands; a confirmed end is never taken back. The next try is not before `again_at`."""
    values: dict[str, Any] = {"again_at": again_at}
    for thing, end in (("session", session_end), ("room", room_end)):
        values |= {f"new_{thing}_end": end.state.value, f"new_{thing}_end_how": end.how, f"new_{thing}_end_at": end.at}
        values[f"{thing}_settled"] = end.state in SETTLED
    return _changed(connection, _ENDS, nonce, **values)


def record_room_seen(connection: Connection, nonce: str, *, by: str) -> Session:
    """Note which Daily key was shown the room, before that key deletes it."""
    return _changed(connection, _ROOM_SEEN, nonce, by=by)


def attach_submission(connection: Connection, nonces: Sequence[str], submission_id: str) -> bool:
    """Give sessions to a submission; False (and nothing changed) if one is condemned or was given to another before."""
    attached = connection.execute(
        update(sessions)
        .where(
            sessions.c.nonce.in_(nonces),
            sessions.c.status == SessionStatus.ALIVE.value,
            sessions.c.submission_id.is_(None),
            sessions.c.condemned_at.is_(None),
        )
        .values(submission_id=submission_id)
    )
    if attached.rowcount == len(nonces):
        return True
    detach_submission(connection, submission_id)
    return False


def detach_submission(connection: Connection, submission_id: str) -> None:
    """Take sessions back from a submission that certainly did not act: their rooms may be submitted again."""
    connection.execute(update(sessions).where(sessions.c.submission_id == submission_id).values(submission_id=None))


def record_called(connection: Connection, nonce: str, *, cekura_run_id: int | None) -> Session:
    """Note the Cekura run of a submitted session; its token has done its work and leaves the row."""
    note_token_left(connection)
    return _changed(connection, _CALLED, nonce, call=cekura_run_id)


def record_note(connection: Connection, nonce: str, note: str) -> Session:
    """Put a sentence for the operator beside a session."""
    return _changed(connection, _NOTE, nonce, note=note)


def get_session(connection: Connection, nonce: str) -> Session:
    """One session by its nonce; NotFound names it."""
    row = connection.execute(_ONE, {"of_session": nonce}).one_or_none()
    if row is None:
        raise _unknown(nonce)
    return session_of(row)


def find_session(connection: Connection, name: str) -> Session:
    """One session by nonce or by the remote's session id, or by the beginning of exactly one of them."""
    named = [called(connection, column, name) for column in (sessions.c.nonce, sessions.c.session_id)]
    for conditions in zip(*named, strict=True):  # whole ones first; each column by itself, so that an index answers
        queries = (select(sessions).where(condition).limit(2) for condition in conditions)
        found = {row.nonce: row for query in queries for row in connection.execute(query)}
        if len(found) == 1:
            return session_of(*found.values())
        if found:
            raise _unknown(name, how_many="more than one session")
    raise _unknown(name)


def _unknown(name: str, *, how_many: str = "no session") -> NotFound:
    error = NotFound(f"{how_many} {name} in this state")
    error.next_step = "`orchestrator sessions list` shows the ones it knows."
    return error


def list_sessions(connection: Connection, *, batch_id: str | None = None, unsettled: bool = False) -> list[Session]:
    """Sessions in the order of their intent, newest last; `unsettled` leaves out those with nothing left to do."""
    query = select(sessions).order_by(sessions.c.intended_at, sessions.c.nonce)
    return [session_of(row) for row in connection.execute(query.where(*_of(batch_id, unsettled=unsettled)))]


def sessions_of_run(connection: Connection, *, batch_id: str, run_id: str) -> list[Session]:
    """Every session that a run of this batch had, oldest first."""
    query = select(sessions).where(sessions.c.batch_id == batch_id, sessions.c.run_id == run_id)
    return [session_of(row) for row in connection.execute(query.order_by(sessions.c.intended_at, sessions.c.nonce))]


def page_sessions(
    connection: Connection,
    *,
    limit: int,
    after: Moment | None = None,
    batch_id: str | None = None,
    pool: str | None = None,
    unsettled: bool = False,
) -> list[Session]:
    """The newest first, from behind `after` (intended_at, nonce) on; of a `pool` also those that runs took."""
    query = select(sessions).order_by(sessions.c.intended_at.desc(), sessions.c.nonce.desc()).limit(limit)
    if after is not None:
        query = query.where(below((sessions.c.intended_at, sessions.c.nonce), after))
    if pool is not None:
        query = query.where(sessions.c.pool == pool)
    return [session_of(row) for row in connection.execute(query.where(*_of(batch_id, unsettled=unsettled)))]


def _of(batch_id: str | None, *, unsettled: bool) -> Iterator[ColumnElement[bool]]:
    if batch_id is not None:
        yield sessions.c.batch_id == batch_id
    if unsettled:
        yield sessions.c.settled.is_(false())


def sent_by_others(connection: Connection, *, worker_id: str) -> frozenset[str]:
    """The sessions whose start call other workers may be making now, for their batches and their pools."""
    others = or_(batches.c.owner != worker_id, sessions.c.batch_id.is_(None) & (pools.c.owner != worker_id))
    under_way = (sessions.c.status == SessionStatus.SENT.value) & _UNCONDEMNED
    query = select(sessions.c.nonce).outerjoin(batches, batches.c.batch_id == sessions.c.batch_id)
    query = query.outerjoin(pools, pools.c.name == sessions.c.pool)
    return frozenset(row.nonce for row in connection.execute(query.where(under_way, others)))


def earliest_sent(connection: Connection, *, nonces: Collection[str]) -> datetime | None:
    """When the first of these sessions' starts was sent; None where none was yet."""
    query = select(sessions.c.sent_at).where(sessions.c.nonce.in_(nonces), sessions.c.sent_at.is_not(None))
    return connection.execute(query.order_by(sessions.c.sent_at).limit(1)).scalar_one_or_none()


def known_session_ids(connection: Connection) -> frozenset[str]:
    """Every remote session id that a row holds."""
    rows = connection.execute(select(sessions.c.session_id).where(sessions.c.session_id.is_not(None)))
    return frozenset(row.session_id for row in rows)


def _changed(connection: Connection, statement: Executable, nonce: str, **values: Any) -> Session:
    """The row as a statement left it, changed or not; NotFound where there is none."""
    row = connection.execute(statement, {"of_session": nonce, **values}).one_or_none()
    return session_of(row) if row is not None else get_session(connection, nonce)
