"""The probe's own process: joins one Daily room with daily-python, says what it sees, leaves.

A process of its own because daily-python cannot be cancelled: `leave()` and `release()` block until a pending join has
failed, 19 s without a network. `orchestrator.clients.probe` starts it, gives it an order and kills it at a deadline.

Order: one line of JSON on stdin: `room_url`, `meeting_token` (or null), `user_name`, `listen` (seconds), `ask_ready`.
Events: one JSON object per line on what was stdout, each with `event`: `hello` (with `protocol`), `joined`,
`participant`, `left`, `app_message`, `audio`, `error`, `done`. What an app message or a voice said is never passed on.

This is the only module that imports `daily`. Its facts are daily-python 0.36's type stubs and documented types, and
measurements of its behaviour without a network; a successful join has never been seen by its tests.
"""

from __future__ import annotations

import array
import json
import os
import queue
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from daily import AudioData, CallClient, Daily, EventHandler, LogLevel

PROTOCOL: Final = 1
LEAVE_LIMIT: Final = 5.0  # seconds for a clean goodbye; the parent's deadline stands above it
AUDIO_INTERVAL_MS: Final = 100
AUDIBLE_PEAK: Final = 328  # of 32767, about -40 dBFS: below it a track is open but nobody speaks
NAME_LIMIT: Final = 100
ERROR_LIMIT: Final = 300

Emit = Callable[..., None]


def main() -> None:
    """Read the order, join, listen, leave."""
    emit = claimed_stdout()
    emit("hello", protocol=PROTOCOL)
    order = json.loads(sys.stdin.readline())
    Daily.init(worker_threads=2, log_level=LogLevel.Off)
    Visit(order, emit).run()
    emit("done")


def claimed_stdout() -> Emit:
    """Keep stdout for events alone: daily-python prints log lines there even at `LogLevel.Off`, so it gets stderr."""
    events = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def emit(event: str, **fields: Any) -> None:
        os.write(events, json.dumps({"event": event, **fields}).encode() + b"\n")

    return emit


class Callbacks(EventHandler):
    """Puts what daily-python's threads report into one queue, so that the client is only ever used by one thread."""

    def __init__(self, inbox: queue.SimpleQueue[tuple[str, Any]]) -> None:
        super().__init__()
        self._inbox = inbox

    def on_participant_joined(self, participant: Mapping[str, Any]) -> None:
        """Somebody is in the room."""
        self._inbox.put(("participant", participant))

    def on_participant_left(self, participant: Mapping[str, Any], reason: str) -> None:  # noqa: ARG002  daily's signature
        """Somebody has gone."""
        self._inbox.put(("left", participant))

    def on_app_message(self, message: Any, sender: str) -> None:  # noqa: ARG002  daily's signature
        """Somebody sent a data message."""
        self._inbox.put(("app_message", message))

    def on_call_state_updated(self, state: str) -> None:
        """The call changed state; `left` while listening means that we were removed."""
        self._inbox.put(("state", state))

    def on_error(self, message: str) -> None:
        """Something failed; one failed join reports twice, here and in its completion."""
        self._inbox.put(("error", message))


class Visit:
    """One stay in one room."""

    def __init__(self, order: Mapping[str, Any], emit: Emit) -> None:
        self._order = order
        self._emit = emit
        self._inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._client = CallClient(event_handler=Callbacks(self._inbox))
        self._met: set[str] = set()

    def run(self) -> None:
        """Join, listen for as long as ordered, leave, release."""
        self._join()
        if self._wait_for_join():
            self._listen_until(time.monotonic() + float(self._order["listen"]))
        self._leave()

    def _join(self) -> None:
        # Sound is what we came for; video would only cost bandwidth.
        self._client.update_subscription_profiles({"base": {"camera": "unsubscribed", "screenVideo": "unsubscribed"}})
        self._client.set_user_name(self._order["user_name"])
        self._client.join(
            self._order["room_url"],
            self._order["meeting_token"],
            client_settings={"inputs": {"camera": False, "microphone": False}},
            completion=lambda data, error: self._inbox.put(("join", (data, error))),
        )

    def _wait_for_join(self) -> bool:
        """True once in the room. No limit here: nothing ends a pending join but the end of this process."""
        while True:
            kind, content = self._inbox.get()
            if kind == "error":
                self._report_error(content)
            elif kind == "join":
                return self._joined(*content)

    def _joined(self, data: Mapping[str, Any] | None, error: str | None) -> bool:
        if error is not None:
            self._report_error(error)
            return False
        self._emit("joined")
        for key, participant in ((data or {}).get("participants") or {}).items():
            if key != "local":
                self._meet(participant)
        return True

    def _listen_until(self, end: float) -> None:
        while (left := end - time.monotonic()) > 0:
            try:
                kind, content = self._inbox.get(timeout=left)
            except queue.Empty:
                return
            if (kind, content) == ("state", "left"):
                self._report_error("removed from the room while listening")
                return
            self._tell(kind, content)

    def _tell(self, kind: str, content: Any) -> None:
        if kind == "participant":
            self._meet(content)
        elif kind == "left":
            self._emit("left", id=content["id"])
        elif kind == "app_message":
            self._emit("app_message", bot_ready=is_bot_ready(content))
        elif kind == "audio":
            self._emit("audio", seconds=content)
        elif kind == "error":
            self._report_error(content)

    def _meet(self, participant: Mapping[str, Any]) -> None:
        """Report somebody once, listen to them, and ask them whether they are ready if so ordered."""
        info = participant.get("info") or {}
        if participant["id"] in self._met or info.get("isLocal"):
            return
        self._met.add(participant["id"])
        self._emit(
            "participant",
            id=participant["id"],
            name=(info.get("userName") or "")[:NAME_LIMIT],
            user_id=info.get("userId"),
            is_owner=info.get("isOwner"),
        )
        self._client.set_audio_renderer(participant["id"], self._hear, callback_interval_ms=AUDIO_INTERVAL_MS)
        if self._order["ask_ready"]:
            self._client.send_app_message(client_ready(), participant_id=participant["id"])

    def _hear(self, participant_id: str, sound: AudioData, source: str) -> None:  # noqa: ARG002  daily's signature
        if is_audible(sound.audio_frames):
            self._inbox.put(("audio", sound.num_audio_frames / sound.sample_rate))

    def _report_error(self, message: str) -> None:
        self._emit("error", message=str(message)[:ERROR_LIMIT])

    def _leave(self) -> None:
        """Leave before releasing: releasing in a call crashed daily-python before 0.30."""
        gone: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._client.leave(completion=gone.put)
        try:
            gone.get(timeout=LEAVE_LIMIT)
        except queue.Empty:
            self._report_error("leaving the room was not confirmed")
        self._client.release()


def is_bot_ready(message: Any) -> bool:
    """True for the RTVI message by which a Pipecat bot says that it is ready (pipecat-ai 1.14, `rtvi/models.py`)."""
    return isinstance(message, Mapping) and message.get("label") == "rtvi-ai" and message.get("type") == "bot-ready"


def client_ready() -> dict[str, Any]:
    """The RTVI question a Pipecat bot answers with `bot-ready`; without `data` no bot refuses it over its version."""
    return {"label": "rtvi-ai", "type": "client-ready", "id": "orchestrator-probe"}


def is_audible(frames: bytes) -> bool:
    """True when 16-bit samples rise above the noise of an open but silent track."""
    samples = array.array("h", frames[: len(frames) // 2 * 2])
    return bool(samples) and (max(samples) >= AUDIBLE_PEAK or min(samples) <= -AUDIBLE_PEAK)


if __name__ == "__main__":
    main()
