"""Statements on sessions: intent before the call, condemnation once and for all, the reaper's claim."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, false, func, insert, literal, not_, or_, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.errors import Conflict, NotFound
from orchestrator.domain.plan import AgentKind, Evidence
from orchestrator.domain.secret import MeetingToken
from orchestrator.domain.session import SETTLED, End, Session, SessionStatus, Teardown
from orchestrator.store.batches import going_on
from orchestrator.store.remnants import note_token_left
from orchestrator.store.tables import UtcTime, sessions


def record_intent(connection: Connection, session: Session, *, most: int) -> bool:
    """Insert a session with the budget it takes, as one unit; False (and no row) when `most` are already held."""
    if count_held(connection, session.batch_id, now=session.intended_at) >= most:
        return False
    connection.execute(
        insert(sessions).values(
            nonce=session.nonce,
            batch_id=session.batch_id,
            run_id=session.run_id,
            attempt=session.attempt,
            agent_kind=session.agent_kind.value,
            agent_address=session.agent_address,
            status=session.status.value,
            intended_at=session.intended_at,
            ends_by=session.ends_by,
            ends_at=session.ends_at,
            room_expires_at=session.room_expires_at,
            condemned_for="",
            teardown_tries=0,
            session_end=Teardown.OPEN.value,
            session_end_how="",
            room_end=Teardown.OPEN.value,
            room_end_how="",
            settled=False,
            note="",
        )
    )
    return True


def count_held(connection: Connection, batch_id: str, *, now: datetime) -> int:
    """How many sessions of a batch count against its budget; the rule is `Session.holds_budget`."""
    query = select(func.count()).select_from(sessions).where(sessions.c.batch_id == batch_id, _held(now))
    return int(connection.execute(query).scalar_one())


def _held(now: datetime) -> ColumnElement[bool]:
    runner_let_go = and_(
        sessions.c.agent_kind == AgentKind.PIPECAT_RUNNER.value, sessions.c.session_end == Teardown.BOUNDED.value
    )
    return and_(
        sessions.c.status.not_in([SessionStatus.REFUSED.value, SessionStatus.UNFOUND.value]),
        sessions.c.session_end != Teardown.CONFIRMED.value,
        sessions.c.ends_at > now,
        not_(runner_let_go),
    )


def record_sent(connection: Connection, nonce: str, *, at: datetime) -> Session | None:
    """Note that the start call is about to be made; None unless the row is an untouched intent of a batch going on."""
    swapped = connection.execute(
        update(sessions)
        .where(
            sessions.c.nonce == nonce,
            sessions.c.status == SessionStatus.INTENT.value,
            sessions.c.condemned_at.is_(None),
            going_on(sessions.c.batch_id),
        )
        .values(status=SessionStatus.SENT.value, sent_at=at)
    )
    return get_session(connection, nonce) if swapped.rowcount == 1 else None


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
    made = {"session_id": session_id, "room_url": room_url}
    values: dict[str, Any] = {name: value for name, value in made.items() if value is not None}
    values["status"] = SessionStatus.ALIVE.value
    values["answered_at"] = func.coalesce(sessions.c.answered_at, literal(at, UtcTime))
    try:
        connection.execute(
            update(sessions).where(sessions.c.nonce == nonce).values(**values, settled=False, teardown_next=None)
        )
    except IntegrityError:
        raise Conflict(f"session {session_id} of this agent is already held by another row") from None
    if meeting_token is not None:
        connection.execute(
            update(sessions)
            .where(sessions.c.nonce == nonce, sessions.c.condemned_at.is_(None))
            .values(meeting_token=meeting_token.reveal())
        )
    return get_session(connection, nonce)


def record_status(connection: Connection, nonce: str, status: SessionStatus, *, note: str) -> Session:
    """Note that a start was refused or its answer lost. A refused start leaves nothing to tear down."""
    refused = status is SessionStatus.REFUSED
    connection.execute(
        update(sessions).where(sessions.c.nonce == nonce).values(status=status.value, note=note, settled=refused)
    )
    return get_session(connection, nonce)


def record_ready(connection: Connection, nonce: str, *, at: datetime, evidence: Evidence) -> Session:
    """Note on what evidence the bot is believed to be in its room."""
    seen = {"seen_in_room_at": at} if evidence in {Evidence.PRESENCE, Evidence.PROBE} else {}
    connection.execute(
        update(sessions).where(sessions.c.nonce == nonce).values(ready_at=at, evidence=evidence.value, **seen)
    )
    return get_session(connection, nonce)


def record_condemned(
    connection: Connection, nonce: str, *, at: datetime, reason: str, teardown_from: datetime
) -> Session:
    """Condemn a session once and for all, and drop its token; a later call changes nothing but an earlier start."""
    note_token_left(connection)
    connection.execute(
        update(sessions)
        .where(sessions.c.nonce == nonce, sessions.c.condemned_at.is_(None))
        .values(condemned_at=at, condemned_for=reason, meeting_token=None, teardown_from=teardown_from)
    )
    return get_session(connection, nonce)


def condemn_batch(connection: Connection, batch_id: str, *, at: datetime, reason: str) -> int:
    """Condemn every session of a batch that is not yet; returns how many."""
    note_token_left(connection)
    condemned = connection.execute(
        update(sessions)
        .where(sessions.c.batch_id == batch_id, sessions.c.condemned_at.is_(None))
        .values(condemned_at=at, condemned_for=reason, meeting_token=None, teardown_from=at)
    )
    return condemned.rowcount


def claim_due(connection: Connection, *, now: datetime, until: datetime, most: int) -> list[Session]:
    """The reaper's claim: condemned sessions that are due; nobody else gets them before `until`."""
    due = (
        select(sessions.c.nonce)
        .where(
            sessions.c.settled.is_(false()),
            sessions.c.teardown_from <= now,
            or_(sessions.c.teardown_next.is_(None), sessions.c.teardown_next <= now),
        )
        .order_by(sessions.c.teardown_from)
        .limit(most)
    )
    claimed = connection.execute(
        update(sessions)
        .where(sessions.c.nonce.in_(due))
        .values(teardown_next=until, teardown_tries=sessions.c.teardown_tries + 1)
        .returning(*sessions.c)
    )
    return [_session(row) for row in claimed]


def release_claims(connection: Connection) -> None:
    """Void every claim: whoever holds the driving lock knows that the reapers who made them are dead."""
    connection.execute(update(sessions).where(sessions.c.settled.is_(false())).values(teardown_next=None))


def record_ends(connection: Connection, nonce: str, *, session_end: End, room_end: End, again_at: datetime) -> Session:
    """Note how the teardown stands; a confirmed end is never taken back. The next try is not before `again_at`."""
    before = get_session(connection, nonce)
    ends = {
        "session": before.session_end if before.session_end.state is Teardown.CONFIRMED else session_end,
        "room": before.room_end if before.room_end.state is Teardown.CONFIRMED else room_end,
    }
    values = {f"{thing}_end": end.state.value for thing, end in ends.items()}
    values |= {f"{thing}_end_how": end.how for thing, end in ends.items()}
    times = {f"{thing}_end_at": end.at for thing, end in ends.items()}
    settled = all(end.state in SETTLED for end in ends.values())
    connection.execute(
        update(sessions)
        .where(sessions.c.nonce == nonce)
        .values(**values, **times, settled=settled, teardown_next=again_at)
    )
    return get_session(connection, nonce)


def record_room_seen(connection: Connection, nonce: str, *, by: str) -> Session:
    """Note which Daily key was shown the room, before that key deletes it."""
    connection.execute(update(sessions).where(sessions.c.nonce == nonce).values(room_seen_by=by))
    return get_session(connection, nonce)


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
    connection.execute(
        update(sessions).where(sessions.c.nonce == nonce).values(cekura_run_id=cekura_run_id, meeting_token=None)
    )
    return get_session(connection, nonce)


def record_note(connection: Connection, nonce: str, note: str) -> Session:
    """Put a sentence for the operator beside a session."""
    connection.execute(update(sessions).where(sessions.c.nonce == nonce).values(note=note))
    return get_session(connection, nonce)


def get_session(connection: Connection, nonce: str) -> Session:
    """One session by its nonce; NotFound names it."""
    row = connection.execute(select(sessions).where(sessions.c.nonce == nonce)).one_or_none()
    if row is None:
        error = NotFound(f"no session {nonce} in this state")
        error.next_step = "`orchestrator sessions list` shows the ones it knows."
        raise error
    return _session(row)


def find_session(connection: Connection, name: str) -> Session:
    """One session by nonce or by the remote's session id."""
    query = select(sessions).where(or_(sessions.c.nonce == name, sessions.c.session_id == name))
    row = connection.execute(query).first()
    return _session(row) if row is not None else get_session(connection, name)


def list_sessions(
    connection: Connection, *, batch_id: str | None = None, unsettled: bool = False, limit: int | None = None
) -> list[Session]:
    """Sessions in the order of their intent, newest last; `unsettled` leaves out those with nothing left to do."""
    query = select(sessions).order_by(sessions.c.intended_at)
    if batch_id is not None:
        query = query.where(sessions.c.batch_id == batch_id)
    if unsettled:
        query = query.where(sessions.c.settled.is_(false()))
    if limit is not None:
        query = query.limit(limit)
    return [_session(row) for row in connection.execute(query)]


def earliest_sent(connection: Connection, *, nonces: Collection[str]) -> datetime | None:
    """When the first of these sessions' starts was sent; None where none was yet."""
    query = select(sessions.c.sent_at).where(sessions.c.nonce.in_(nonces), sessions.c.sent_at.is_not(None))
    return connection.execute(query.order_by(sessions.c.sent_at).limit(1)).scalar_one_or_none()


def known_session_ids(connection: Connection) -> frozenset[str]:
    """Every remote session id that a row holds."""
    rows = connection.execute(select(sessions.c.session_id).where(sessions.c.session_id.is_not(None)))
    return frozenset(row.session_id for row in rows)


def _session(row: Row[Any]) -> Session:
    return Session(
        nonce=row.nonce,
        batch_id=row.batch_id,
        run_id=row.run_id,
        attempt=row.attempt,
        agent_kind=AgentKind(row.agent_kind),
        agent_address=row.agent_address,
        status=SessionStatus(row.status),
        intended_at=row.intended_at,
        ends_by=row.ends_by,
        ends_at=row.ends_at,
        room_expires_at=row.room_expires_at,
        sent_at=row.sent_at,
        answered_at=row.answered_at,
        session_id=row.session_id,
        room_url=row.room_url,
        meeting_token=MeetingToken(row.meeting_token) if row.meeting_token else None,
        ready_at=row.ready_at,
        evidence=Evidence(row.evidence) if row.evidence else None,
        seen_in_room_at=row.seen_in_room_at,
        submission_id=row.submission_id,
        cekura_run_id=row.cekura_run_id,
        condemned_at=row.condemned_at,
        condemned_for=row.condemned_for,
        teardown_from=row.teardown_from,
        session_end=End(state=Teardown(row.session_end), how=row.session_end_how, at=row.session_end_at),
        room_end=End(state=Teardown(row.room_end), how=row.room_end_how, at=row.room_end_at),
        room_seen_by=row.room_seen_by,
        note=row.note,
    )
