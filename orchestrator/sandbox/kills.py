"""Kills a client's process at an exact moment of one request, so that a crash can be put between any two facts.

The product has no hook for this: what it believes when it dies is what it committed before the request, and what the
remotes did is what the edge says.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

from orchestrator.sandbox.faults import OPERATIONS

Edge = Literal["received", "done", "answered"]
EDGES: Final[tuple[str, ...]] = get_args(Edge)
LONGEST_DELAY: Final = 50
KEYS: Final = frozenset({"operation", "edge", "skip", "delay_ms", "pid"})


class UnknownKill(ValueError):
    """The request names no kill; the message says what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """SIGKILL for `pid` at one edge of the first request of `operation` after `skip` others.

    `received`: on receipt, nothing has happened. `done`: it has happened, nothing is answered. `answered`: the answer's
    last byte was written, `delay_ms` (0 to 50 real milliseconds) ago.
    """

    operation: str
    edge: str
    pid: int
    skip: int = 0
    delay_ms: int = 0

    def __post_init__(self) -> None:
        """Refuse what could never strike, or would strike more than one process."""
        if self.operation not in OPERATIONS:
            near = difflib.get_close_matches(self.operation, OPERATIONS, n=1, cutoff=0.0)
            raise UnknownKill(f"unknown operation {self.operation!r}; did you mean {near[0]!r}?")
        if self.edge not in EDGES:
            raise UnknownKill(f"unknown edge {self.edge!r}; there are {', '.join(EDGES)}")
        # 0 and below mean whole process groups, 1 is the machine's own.
        if self.pid <= 1 or self.pid == os.getpid():
            raise UnknownKill(f"pid {self.pid} is not a client's process")
        if self.skip < 0 or not 0 <= self.delay_ms <= LONGEST_DELAY:
            raise UnknownKill(f"skip must be 0 or more, delay_ms between 0 and {LONGEST_DELAY}")


def read_kill(document: Any) -> Kill:
    """A kill from its JSON; UnknownKill says what is wrong with it."""
    if not isinstance(document, Mapping) or not {"operation", "edge", "pid"} <= set(document) <= KEYS:
        raise UnknownKill('expected {"operation", "edge", "pid"}, and perhaps "skip" and "delay_ms"')
    numbers = {name: document[name] for name in ("pid", "skip", "delay_ms") if name in document}
    if not all(type(number) is int for number in numbers.values()):
        raise UnknownKill("pid, skip and delay_ms are whole numbers")
    return Kill(operation=str(document["operation"]), edge=str(document["edge"]), **numbers)


class Kills:
    """At most one armed kill, and those that struck."""

    def __init__(self) -> None:
        self.armed: Kill | None = None
        self.struck: list[Kill] = []
        self._passed = 0

    def arm(self, kill: Kill) -> None:
        """Strike this once; it takes the place of one that is still armed."""
        self.armed = kill
        self._passed = 0

    def disarm(self) -> None:
        """Strike nothing any more."""
        self.armed = None

    def due(self, operation: str) -> Kill | None:
        """The kill that this request meets, if any. Each request of its operation counts, up to the one it strikes."""
        kill = self.armed
        if kill is None or kill.operation != operation:
            return None
        if self._passed < kill.skip:
            self._passed += 1
            return None
        return kill

    def strike(self, kill: Kill) -> None:
        """Kill, unless it struck or was disarmed meanwhile; a process that is gone by itself does not count."""
        if self.armed is not kill:
            return
        self.armed = None
        try:
            os.kill(kill.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.struck.append(kill)

    def strike_later(self, kill: Kill) -> None:
        """Kill once the delay of the `answered` edge has passed."""
        asyncio.get_running_loop().call_later(kill.delay_ms / 1000, self.strike, kill)

    def document(self) -> dict[str, Any]:
        """What is armed and what struck, as JSON."""
        return {"armed": asdict(self.armed) if self.armed else None, "struck": [asdict(kill) for kill in self.struck]}
