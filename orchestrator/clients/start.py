"""The start call that Pipecat Cloud and Pipecat's own runner share: what is sent, and what an answer must hold."""

from __future__ import annotations

from typing import Any

from orchestrator.clients.http import Answer
from orchestrator.clients.room import parse_room_url
from orchestrator.clients.wire import text_of
from orchestrator.domain.errors import OutcomeUnknown, RemoteProtocolError
from orchestrator.domain.observation import StartedSession, StartRequest
from orchestrator.domain.secret import MeetingToken


def start_payload(request: StartRequest) -> dict[str, Any]:
    """The JSON of one start (Pipecat Cloud's StartRequest, which the runner copies)."""
    return {
        "createDailyRoom": True,
        "transport": "daily",
        "dailyRoomProperties": dict(request.room_properties),
        "dailyMeetingTokenProperties": dict(request.token_properties),
        "body": dict(request.body),
    }


def started_session(answer: Answer, *, daily_api_url: str) -> StartedSession:
    """Read a 2xx of a start.

    A session without a room we can use is running all the same: OutcomeUnknown, with its id where the answer names it.
    """
    body = answer.record()
    session_id = text_of(body.get("sessionId")) or None
    token = text_of(body.get("dailyToken"))
    try:
        room = parse_room_url(text_of(body.get("dailyRoom")), daily_api_url=daily_api_url)
    except RemoteProtocolError as error:
        unusable = answer.broken(f"session {session_id or 'of unknown id'} was started, but {error.detail}")
        if isinstance(unusable, OutcomeUnknown):
            unusable.session_id = session_id
        raise unusable from None
    return StartedSession(
        session_id=session_id, room_url=room.url, meeting_token=MeetingToken(token) if token else None
    )
