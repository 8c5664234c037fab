"""What the sandbox is told to do wrong: a catalogue of named faults and the table of those armed now.

A fault is written `OPERATION.FAULT=COUNT[@SKIP]`: it strikes COUNT matching requests (or bots, or calls) after letting
the first SKIP pass.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

OPERATIONS: Final = (
    "start", "session_get", "session_list", "session_stop", "agent_get", "agent_list", "runner_status",
    "room_create", "room_get", "room_list", "room_update", "room_delete", "rooms_delete",
    "presence", "presence_all", "eject", "token_create",
    "submit", "poll", "result_get", "result_list", "result_rename", "end_call", "end_calls", "billing",
    "scenario_list", "scenario_get", "tag_list", "folder_list", "aiagent_get", "share_link",
)  # fmt: skip

GENERIC: Final = {
    "lost_request": "the connection drops before anything happened",
    "lost_answer": "it happens, then the connection drops",
    "late": "the connection drops; it happens some seconds later",
    "slow": "it happens; the answer takes 30 seconds longer",
    "busy": "429 with Retry-After, nothing happened",
    "error": "500 with a JSON body, nothing happened",
    "html": "503 with an HTML page, nothing happened",
    "truncated": "it happens; the answer ends before its announced length",
    "not_json": "it happens; 200 with plain text",
    "wrong_type": "it happens; 200 with JSON of another shape",
    "oversized": "it happens; 200 with a body of 20 MB",
    "refused": "401 as for a wrong key, nothing happened",
}

SPECIFIC: Final = {
    "start.capacity": "Pipecat Cloud: the documented 429 of a full agent",
    "start.capacity_pcc": "Pipecat Cloud: 429 with PCC-AGENT-AT-CAPACITY",
    "start.no_public_key": "Pipecat Cloud: 401 with PCC-1002",
    "start.null": "runner: 200 with `null`, a bot runs without a room",
    "start.plain_error": "runner: plain-text 500, and a room is left behind",
    "bot.never_joins": "the session starts, its bot never reaches the room",
    "bot.slow_join": "the bot takes 45 seconds longer to join",
    "bot.leaves_early": "the bot leaves a few seconds into its call",
    "bot.stays_after_stop": "the bot stays in the room although its session was stopped",
    "submit.field_errors": "400 with a map of field errors",
    "submit.bare_list": "400 with a bare list of texts",
    "submit.detail": "400 with a detail text",
    "submit.html_error": "400 with an HTML page",
    "submit.no_runs": "200 with no runs, none exist",
    "submit.fewer_runs": "200 with one run fewer than submitted; it does not exist",
    "submit.shuffled": "the runs come back in reverse order",
    "submit.unnested": "200 with the runs as a map by id, as a result shows them",
    "poll.missing_run": "the first run asked for is missing from the answer",
    "poll.unknown_status": "the first run shows a status nobody documented",
    "poll.server_error": "502 with an HTML page of a proxy",
    "share_link.not_in_plan": "403: the subscription has no reports to share",
    "call.fails_evaluation": "the call completes and is judged a failure",
    "call.never_connects": "the tester never reaches the room, or the agent",
    "call.times_out": "the call runs to its longest and ends as a timeout",
    "call.tester_crashes": "the tester crashes in mid-call",
    "call.queued_long": "the run waits in_queue for 60 more seconds",
    "webhook.lost": "the webhook of a finished result is never sent",
    "webhook.duplicate": "the webhook of a finished result is sent twice",
    "webhook.early": "a result's only webhook is sent in its first call, and says that every run succeeded",
    "webhook.stranger": "the webhook of a finished result names a result and runs that do not exist",
    "webhook.garbled": "the webhook of a finished result breaks off in mid-body",
    "webhook.wrong_secret": "the webhook of a finished result carries another secret",
    "rooms_delete.all_or_nothing": "400 and nothing deleted when one name is unknown",
    "eject.ignored": "200 naming nobody, nobody leaves",
}

# A fault that only one of the two ways to start a session knows.
FLAVOURS: Final = {
    "start.capacity": "cloud",
    "start.capacity_pcc": "cloud",
    "start.no_public_key": "cloud",
    "start.null": "runner",
    "start.plain_error": "runner",
}

_WRITTEN: Final = re.compile(r"(?P<name>[a-z_]+\.[a-z_]+)(=(?P<count>\d+)(@(?P<skip>\d+))?)?")


class UnknownFault(ValueError):
    """The text names no fault, or is not written as one; the message says what was probably meant."""


def list_faults() -> dict[str, str]:
    """Every fault's name and what it does, generic ones spelled out for each operation."""
    generic = {f"{operation}.{name}": meaning for operation in OPERATIONS for name, meaning in GENERIC.items()}
    return SPECIFIC | generic


@dataclass(slots=True, kw_only=True)
class ArmedFault:
    """One fault and how often it still strikes."""

    operation: str
    name: str
    count: int
    skip: int

    @property
    def full_name(self) -> str:
        """The name as users write it."""
        return f"{self.operation}.{self.name}"

    def written(self) -> str:
        """The fault as it would be armed now."""
        return f"{self.full_name}={self.count}" + (f"@{self.skip}" if self.skip else "")


def parse_fault(text: str) -> ArmedFault:
    """Read `OPERATION.FAULT=COUNT[@SKIP]`; COUNT is 1 when absent. UnknownFault says what was probably meant."""
    match = _WRITTEN.fullmatch(text.strip())
    name = match["name"] if match else text.partition("=")[0].strip()
    known = list_faults()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise UnknownFault(f"unknown fault {name!r}; did you mean {near[0]!r}?")
    if match is None:
        raise UnknownFault(f"{text!r} is not written OPERATION.FAULT=COUNT[@SKIP]")
    operation, _, fault = name.partition(".")
    return ArmedFault(operation=operation, name=fault, count=int(match["count"] or 1), skip=int(match["skip"] or 0))


class Faults:
    """The armed faults; taking one uses it up."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._armed: dict[str, list[ArmedFault]] = {}
        self.fired: Counter[str] = Counter()
        self.arm(texts)

    def arm(self, texts: Iterable[str]) -> None:
        """Add faults; nothing is armed if one of the texts is wrong."""
        for fault in [parse_fault(text) for text in texts]:
            self._armed.setdefault(fault.operation, []).append(fault)

    def clear(self) -> None:
        """Disarm everything; what already fired stays counted."""
        self._armed.clear()

    def armed(self) -> list[str]:
        """What would still strike, as it is written."""
        return [fault.written() for faults in self._armed.values() for fault in faults]

    def take(self, operation: str, *, flavour: str = "") -> str | None:
        """The fault that strikes this request, if any. Every armed fault of the operation sees the request."""
        struck: ArmedFault | None = None
        for fault in self._armed.get(operation, ()):
            if FLAVOURS.get(fault.full_name, flavour) != flavour:
                continue
            if fault.skip:
                fault.skip -= 1
            elif struck is None:
                struck = fault
        return self._strike(struck) if struck else None

    def _strike(self, fault: ArmedFault) -> str:
        fault.count -= 1
        self.fired[fault.full_name] += 1
        if fault.count <= 0:
            self._armed[fault.operation].remove(fault)
        return fault.name
