"""The sandbox's time: real wall time, with the sandbox's own durations divided by its speed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime


class SandboxClock:
    """Wall time and timers on the running loop; after `close` no timer fires."""

    def __init__(self, *, speed: float) -> None:
        self.speed = speed
        self._open = True

    def now(self) -> float:
        """Unix seconds. Not scaled: clients name moments in real time."""
        return time.time()

    def scaled(self, seconds: float) -> float:
        """Real seconds that a duration of the remotes takes here."""
        return seconds / self.speed

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back once `seconds` of the remotes have passed."""
        asyncio.get_running_loop().call_later(self.scaled(seconds), self._fire, callback)

    def at(self, moment: float, callback: Callable[[], None]) -> None:
        """Call back at a real Unix time, at once if it has passed."""
        asyncio.get_running_loop().call_later(max(0.0, moment - self.now()), self._fire, callback)

    def close(self) -> None:
        """Silence every timer that is still set."""
        self._open = False

    def _fire(self, callback: Callable[[], None]) -> None:
        if self._open:
            callback()


def iso(moment: float) -> str:
    """A Unix time as the remotes write it: UTC, microseconds, a trailing Z."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
