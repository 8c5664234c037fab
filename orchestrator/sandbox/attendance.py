"""How a bot process attends a room of the sandbox: the caller's side of its attend endpoint.

daily-python looks every room up at Daily's own hosts, so no Pipecat transport can join a sandbox's room. A bot that
attends instead is in the room for as long as its socket is open, and is told what happens there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

Events = AsyncIterator[Mapping[str, Any]]


class AttendanceRefused(Exception):
    """The sandbox did not let us in: the room is gone or full, or the token is not good for it."""


def sandbox_address(daily_api_url: str) -> str | None:
    """The sandbox that `daily_api_url` points at, or None for Daily itself (which demands https)."""
    parts = urlsplit(daily_api_url)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme == "http" else None


@asynccontextmanager
async def attendance(
    address: str, *, room_url: str, meeting_token: str | None, user_name: str
) -> AsyncIterator[Events]:
    """Be in the room while the context lasts; yields what happens there, each a mapping with `event`.

    Events: `joined`, `participant-joined`, `participant-left`, `app-message`, `ejected`, `room-deleted`. They end when
    the sandbox closes the socket. AttendanceRefused where it does not let us in.
    """
    query = {"room": urlsplit(room_url).path.strip("/"), "user_name": user_name}
    if meeting_token:
        query["token"] = meeting_token
    async with aiohttp.ClientSession() as session:
        try:
            socket = await session.ws_connect(f"{address}/sandbox/attend", params=query)
        except aiohttp.WSServerHandshakeError as error:
            raise AttendanceRefused(f"the sandbox answered {error.status}") from error
        async with socket:
            yield _events(socket)


async def _events(socket: aiohttp.ClientWebSocketResponse) -> Events:
    async for message in socket:
        yield message.json()
