"""Who is in a room, seen from inside: a probe joins as a participant, looks, listens and leaves.

A probe is a participant. A bot that greets whoever comes first greets the probe, and the tester comes second; so a
probe is never a default, and whoever uses one as readiness evidence is warned when the plan is read.

daily-python cannot be cancelled, so it runs in a child process (`orchestrator.clients.probe_child`), which is killed
with its whole process group at the deadline and reaped on every path, cancellation included. The meeting token travels
on the child's stdin, never in its arguments or environment.

What can be shown without Daily is the protocol, the kill and the deadline. That a join succeeds, and what it then
hears, has to be seen against a real room.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
import uuid
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from orchestrator.clients.room import parse_room_url
from orchestrator.domain.errors import RemoteProtocolError
from orchestrator.domain.secret import MASK, MeetingToken

PROTOCOL: Final = 1
DAILY_HOSTS: Final = "https://api.daily.co/v1"  # daily-python asks here whatever host a URL names: no stand-in serves
USER_NAME: Final = "orchestrator-probe"
USER_ID_LIMIT: Final = 36  # characters, Daily's meeting-token documentation
LISTEN_SECONDS: Final = 5.0
ERROR_LIMIT: Final = 300
# -P: a folder named orchestrator in the working directory is not the program to run.
CHILD_COMMAND: Final = (sys.executable, "-P", "-m", "orchestrator.clients.probe_child")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeParticipant:
    """Somebody the probe met; None where Daily did not say. `left`: gone again while the probe listened."""

    participant_id: str
    name: str
    user_id: str | None
    is_owner: bool | None
    left: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What reached the probe: seconds of audible sound, summed over participants, and how many app messages."""

    audio_seconds: float = 0.0
    app_messages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """What a probe saw until it left or was killed; `error` is empty when nothing went wrong.

    `bot_ready`: True when an RTVI `bot-ready` was seen, False when it was asked for and did not come, None when nobody
    asked: a Pipecat bot says it only in answer to `client-ready` (pipecat-ai 1.14, `pipeline/worker.py`).
    `killed`: the child did not end by itself. `seconds`: from the call to the child's end.
    """

    room_url: str
    joined: bool
    participants: tuple[ProbeParticipant, ...]
    bot_ready: bool | None
    heard: Heard
    error: str
    seconds: float
    killed: bool


async def probe_room(
    room_url: str,
    meeting_token: MeetingToken | None,
    *,
    deadline: float,
    listen: float = LISTEN_SECONDS,
    user_name: str = USER_NAME,
    ask_ready: bool = False,
    command: Sequence[str] = CHILD_COMMAND,
) -> ProbeReport:
    """Join `room_url` for `listen` seconds and report; never raises for what the room or the child does.

    `deadline`: seconds from now after which the child is killed. `ask_ready` sends every participant RTVI's
    `client-ready`, on which a bot may start to talk. The token should be the probe's own, a non-owner's with
    `probe_user_id()`: daily-python 0.36 has no other way to set a user id. May be repeated; each time is one more
    participant.
    """
    began = time.monotonic()
    sighting = Sighting(secret=meeting_token.reveal() if meeting_token else "")
    order = {
        "room_url": room_url,
        "meeting_token": meeting_token.reveal() if meeting_token else None,
        "user_name": user_name,
        "listen": listen,
        "ask_ready": ask_ready,
    }
    killed = _can_be_joined(room_url, sighting) and await _visit(command, order, sighting, deadline)
    return ProbeReport(
        room_url=room_url,
        joined=sighting.joined,
        participants=tuple(sighting.participants.values()),
        bot_ready=sighting.bot_ready or (False if ask_ready and sighting.joined else None),
        heard=sighting.heard,
        error=sighting.error,
        seconds=time.monotonic() - began,
        killed=killed,
    )


def probe_user_id() -> str:
    """A fresh user id by which the probe's own presence can be told from the bot's, within Daily's 36 characters."""
    return f"{USER_NAME}-{uuid.uuid4().hex}"[:USER_ID_LIMIT]


def probe_report_lines(report: ProbeReport) -> list[str]:
    """The report for a person, one fact per line."""
    lines = [f"joined {report.room_url}" if report.joined else f"could not join {report.room_url}"]
    lines += [_participant_line(participant) for participant in report.participants]
    if report.joined:
        lines += [] if report.participants else ["nobody else was in the room"]
        lines += [_READY_WORDS[report.bot_ready], _heard_line(report.heard)]
    lines += [f"trouble: {report.error}"] if report.error else []
    end = "was killed" if report.killed else "ended by itself"
    return [*lines, f"the probe {end} after {report.seconds:.1f} s"]


_READY_WORDS: Final[Mapping[bool | None, str]] = {
    True: "the bot says it is ready",
    False: "asked whether it is ready, the bot did not answer (only bots with RTVI do)",
    None: "whether the bot is ready was not asked",
}


def _participant_line(participant: ProbeParticipant) -> str:
    owner = ", an owner" if participant.is_owner else ""
    user_id = f", user id {participant.user_id}" if participant.user_id else ""
    gone = ", left again" if participant.left else ""
    return f"met {participant.name or 'somebody without a name'}{user_id}{owner}{gone}"


def _heard_line(heard: Heard) -> str:
    return f"heard {heard.audio_seconds:.1f} s of sound and {heard.app_messages} app messages"


class ProtocolBroken(Exception):
    """The child said something a probe's child does not say."""


@dataclass(slots=True, kw_only=True)
class Sighting:
    """What the child has told so far; it survives the child's end, however that came."""

    secret: str = field(repr=False)
    greeted: bool = False
    joined: bool = False
    done: bool = False
    bot_ready: bool | None = None
    error: str = ""
    heard: Heard = Heard()
    participants: dict[str, ProbeParticipant] = field(default_factory=dict)

    def take(self, line: bytes) -> None:
        """Fold one line of the child's output; ProtocolBroken when it is not one of the child's events."""
        try:
            event = json.loads(line)
            name = event["event"]
            if not self.greeted and (name, event.get("protocol")) != ("hello", PROTOCOL):
                raise ProtocolBroken(f"the probe's child does not speak protocol {PROTOCOL}")
            self._fold(name, event)
        except (ValueError, KeyError, TypeError) as error:
            raise ProtocolBroken("the probe's child broke its protocol") from error

    def trouble(self, message: str) -> None:
        """Keep the first thing that went wrong (one failed join reports twice), shortened and without the token."""
        shown = message.replace(self.secret, MASK) if self.secret else message
        self.error = self.error or shown[:ERROR_LIMIT]

    def _fold(self, name: str, event: Mapping[str, Any]) -> None:
        match name:
            case "hello":
                self.greeted = True
            case "joined":
                self.joined = True
            case "done":
                self.done = True
            case "participant":
                self._meet(event)
            case "left":
                self._part(event["id"])
            case "app_message":
                self.heard = replace(self.heard, app_messages=self.heard.app_messages + 1)
                self.bot_ready = True if event["bot_ready"] else self.bot_ready
            case "audio":
                self.heard = replace(self.heard, audio_seconds=self.heard.audio_seconds + float(event["seconds"]))
            case "error":
                self.trouble(str(event["message"]))
            case _:
                raise KeyError(name)

    def _meet(self, event: Mapping[str, Any]) -> None:
        self.participants[event["id"]] = ProbeParticipant(
            participant_id=event["id"], name=event["name"], user_id=event["user_id"], is_owner=event["is_owner"]
        )

    def _part(self, participant_id: str) -> None:
        if participant_id in self.participants:
            self.participants[participant_id] = replace(self.participants[participant_id], left=True)


def _can_be_joined(room_url: str, sighting: Sighting) -> bool:
    """Judge the URL before a process is started for it: daily-python takes 19 s to fail at some bad ones."""
    try:
        parse_room_url(room_url, daily_api_url=DAILY_HOSTS)
    except RemoteProtocolError as error:
        sighting.trouble(f"{error.detail}; a probe can only join rooms on Daily's own hosts, not a sandbox's")
        return False
    return True


async def _visit(command: Sequence[str], order: Mapping[str, Any], sighting: Sighting, deadline: float) -> bool:
    """Run the child to its end or to the deadline; True if it had to be killed."""
    try:
        # Its own session is its own process group: the kill reaches whatever it may have started.
        child = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True
        )
    except OSError as error:
        sighting.trouble(f"the probe's child could not be started: {error.strerror}")
        return False
    try:
        async with asyncio.timeout(deadline):
            await _converse(child, order, sighting)
            await child.wait()
    except TimeoutError:
        if not sighting.done:
            sighting.trouble(f"no end within {deadline:g} s: " + ("joined" if sighting.joined else "not joined"))
    except ProtocolBroken as broken:
        sighting.trouble(str(broken))
    finally:
        killed = await _end(child)
    if not (killed or sighting.done):
        sighting.trouble(
            f"the probe's child ended with {child.returncode} before it was done: is daily-python installed?"
        )
    return killed


async def _converse(child: Process, order: Mapping[str, Any], sighting: Sighting) -> None:
    assert child.stdin is not None  # noqa: S101  we asked for both pipes
    assert child.stdout is not None  # noqa: S101
    child.stdin.write(json.dumps(order).encode() + b"\n")
    child.stdin.close()  # a child that died early is told by its silence on stdout
    try:
        while line := await child.stdout.readline():
            sighting.take(line)
    except ValueError as error:  # a line longer than the stream's limit
        raise ProtocolBroken("the probe's child broke its protocol") from error


async def _end(child: Process) -> bool:
    """Kill what still runs of the child and reap it; True if there was something to kill."""
    alive = child.returncode is None
    try:
        if alive:
            os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:  # it ended, and was reaped in another thread, a moment before asyncio was told
        alive = False
    await asyncio.shield(child.wait())
    return alive
