"""The attend endpoint: a real bot process is in a room for as long as its WebSocket is open.

`GET /sandbox/attend?room=NAME&token=TOKEN&user_name=NAME`. The server sends `{"event": ...}` with `joined`,
`participant-joined`, `participant-left`, `app-message`, `ejected` or `room-deleted`; the client may send
`{"event": "app-message", "data": ...}`. A refused join is a 403 (404 where the room is gone) before any socket opens.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from aiohttp import WSMsgType, web

from orchestrator.sandbox.daily import Daily
from orchestrator.sandbox.rooms import JoinRefused, Participant, RoomEvent
from orchestrator.sandbox.sessions import Sessions
from orchestrator.sandbox.settings import SandboxSettings

GOODBYE_SECONDS: Final = 0.2
FAREWELLS: Final = frozenset({"ejected", "room-deleted"})


class AttendRoute:
    """Lets processes be participants."""

    def __init__(self, *, daily: Daily, sessions: Sessions, settings: SandboxSettings) -> None:
        self._daily = daily
        self._sessions = sessions
        self._settings = settings
        self._sockets: set[web.WebSocketResponse] = set()

    def add_to(self, app: web.Application) -> None:
        """Register the path."""
        app.router.add_get("/sandbox/attend", self.attend)

    async def close(self) -> None:
        """Hang up on everybody."""
        for socket in list(self._sockets):
            await socket.close()

    async def attend(self, request: web.Request) -> web.StreamResponse:
        """Be in the room until the socket closes."""
        room = self._daily.room_named(request.query.get("room", ""))
        if room is None:
            return web.json_response({"error": "no such room"}, status=404)
        events: asyncio.Queue[RoomEvent] = asyncio.Queue()
        try:
            participant = room.join(
                token=request.query.get("token") or None,
                listener=events.put_nowait,
                user_name=request.query.get("user_name", ""),
                carries_user_id=self._settings.carries_mark,
            )
        except JoinRefused as refusal:
            return web.json_response({"error": str(refusal)}, status=403)
        self._sessions.note_attendance(participant)
        try:
            return await self._serve(request, participant, events)
        finally:
            room.leave(participant)

    async def _serve(
        self, request: web.Request, participant: Participant, events: asyncio.Queue[RoomEvent]
    ) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        others = [_person(other) for other in participant.room.present() if other is not participant]
        teller = asyncio.create_task(_tell(socket, participant, others, events))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    _hear(participant, message.data)
        finally:
            teller.cancel()
            await asyncio.gather(teller, return_exceptions=True)
            self._sockets.discard(socket)
        return socket


async def _tell(
    socket: web.WebSocketResponse,
    participant: Participant,
    others: list[dict[str, Any]],
    events: asyncio.Queue[RoomEvent],
) -> None:
    await socket.send_json({"event": "joined", "participant": _person(participant), "participants": others})
    while not socket.closed:
        event = await events.get()
        await socket.send_json(_message(event))
        if event.name in FAREWELLS:
            await asyncio.sleep(GOODBYE_SECONDS)
            await socket.close()


def _hear(participant: Participant, text: str) -> None:
    try:
        message = json.loads(text)
    except ValueError:
        return
    if isinstance(message, dict) and message.get("event") == "app-message" and participant.present:
        participant.room.send(message.get("data"), sender=participant)


def _message(event: RoomEvent) -> dict[str, Any]:
    message: dict[str, Any] = {"event": event.name}
    if event.participant is not None:
        message["participant"] = _person(event.participant)
    if event.cause is not None:
        message["reason"] = event.cause.value
    if event.name == "app-message":
        message["data"] = event.data
    return message


def _person(participant: Participant) -> dict[str, Any]:
    return {
        "id": participant.id,
        "user_id": participant.user_id,
        "user_name": participant.user_name,
        "is_tester": participant.is_tester,
    }
