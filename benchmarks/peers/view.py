"""What every peer is told, and the one document it prints: its own view, apart from what the world saw."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

SCENARIOS: Final = 20
POLL_SECONDS: Final = 5.0
LONGEST_HOURS: Final = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings:
    """`runs` in all, `at_once` behind the semaphore, `speed` of the sandbox: what a script waits is divided by it."""

    runs: int
    at_once: int
    speed: float

    def scaled(self, seconds: float) -> float:
        """Real seconds that so many of life take."""
        return seconds / self.speed

    def scenarios(self) -> Iterator[int]:
        """The scenario of each run, in order: the same repeats as in the orchestrator's plan."""
        for number in range(SCENARIOS):
            for _ in range(self.runs // SCENARIOS + (1 if number < self.runs % SCENARIOS else 0)):
                yield 101 + number


@dataclass(slots=True)
class View:
    """What a peer believes: `verdicts` by word, and real Unix times of its beginning, its last verdict and its end."""

    began: float = field(default_factory=time.time)
    judged: float | None = None
    verdicts: Counter[str] = field(default_factory=Counter)
    _cpu: float = field(default_factory=time.process_time)

    def note(self, run: dict[str, Any] | None) -> None:
        """Count one run as Cekura shows it at its end; None where the script never got that far."""
        word = "lost" if run is None else str(run["status"])
        self.verdicts["passed" if word == "completed" and run and run["success"] else word] += 1
        self.judged = time.time()

    def document(self) -> dict[str, Any]:
        """As JSON."""
        ended = time.time()
        return {
            "began": self.began,
            "judged": self.judged or ended,
            "ended": ended,
            "verdicts": dict(self.verdicts),
            "cpu_seconds": time.process_time() - self._cpu,
            "poll_interval": POLL_SECONDS,
        }


def main(peer: Callable[[PeerSettings, View], Awaitable[None]]) -> None:
    """Run a peer with the settings of the command line, and print its view."""
    settings = PeerSettings(**json.loads(sys.argv[1]))
    print(json.dumps(asyncio.run(_viewed(peer, settings))))


async def _viewed(peer: Callable[[PeerSettings, View], Awaitable[None]], settings: PeerSettings) -> dict[str, Any]:
    view = View()
    async with asyncio.timeout(settings.scaled(LONGEST_HOURS * 3600)):
        await peer(settings, view)
    return view.document()
