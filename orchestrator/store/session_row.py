"""A session as its row has it, and the row it begins as."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row

from orchestrator.domain.plan import AgentKind, Evidence
from orchestrator.domain.secret import MeetingToken
from orchestrator.domain.session import End, Session, SessionStatus, Teardown


def values_of(session: Session) -> dict[str, Any]:
    """The row of a session that is about to be started."""
    return {
        "nonce": session.nonce,
        "batch_id": session.batch_id or None,
        "run_id": session.run_id or None,
        "attempt": session.attempt,
        "agent_kind": session.agent_kind.value,
        "agent_address": session.agent_address,
        "status": session.status.value,
        "intended_at": session.intended_at,
        "ends_by": session.ends_by,
        "ends_at": session.ends_at,
        "room_expires_at": session.room_expires_at,
        "condemned_for": "",
        "teardown_tries": 0,
        "session_end": Teardown.OPEN.value,
        "session_end_how": "",
        "room_end": Teardown.OPEN.value,
        "room_end_how": "",
        "settled": False,
        "note": "",
        "pool": session.pool,
        "fit_until": session.fit_until,
    }


def session_of(row: Row[Any]) -> Session:
    """The session of a row."""
    return Session(
        nonce=row.nonce,
        batch_id=row.batch_id or "",
        run_id=row.run_id or "",
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
        pool=row.pool,
        fit_until=row.fit_until,
        checked_at=row.checked_at,
        taken_at=row.taken_at,
    )
