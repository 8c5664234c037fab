"""Probes one room: with a token given, or a non-owner's of its own where a Daily key reaches the room."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from orchestrator.clients.daily import DailyDomains
from orchestrator.clients.probe import USER_NAME, ProbeReport, probe_room, probe_user_id
from orchestrator.clients.room import parse_room_url
from orchestrator.clock import SystemClock
from orchestrator.domain.secret import MeetingToken
from orchestrator.settings import Settings

TOKEN_MARGIN: Final = 60.0  # seconds its token outlives the probe's deadline


async def probe(
    room_url: str, meeting_token: MeetingToken | None, *, settings: Settings, deadline: float, ask_ready: bool
) -> tuple[ProbeReport, str]:
    """Look into a room; returns the report, and with which token it went in.

    RemoteProtocolError where the URL is no Daily room's; RemoteError where a key could not be asked.
    """
    how = "the token given"
    if meeting_token is None:
        meeting_token = await _own_token(room_url, settings, deadline)
        how = "a non-owner's token of its own" if meeting_token else "no token: no Daily key of ours reaches the room"
    report = await probe_room(room_url, meeting_token, deadline=deadline, ask_ready=ask_ready)
    return report, how


async def _own_token(room_url: str, settings: Settings, deadline: float) -> MeetingToken | None:
    clock = SystemClock()
    address = parse_room_url(room_url, daily_api_url=settings.daily_api_url)
    daily = DailyDomains.open(settings, clock=clock)
    try:
        client = await daily.client_for(address)
        if client is None:
            return None
        expires_at = clock.now() + timedelta(seconds=deadline + TOKEN_MARGIN)
        return await client.create_meeting_token(
            room_name=address.name, expires_at=expires_at, user_name=USER_NAME, user_id=probe_user_id()
        )
    finally:
        await daily.aclose()
