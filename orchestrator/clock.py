"""The clock, passed in rather than imported: wall time for what is stored, monotonic time for waits in this process."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow, for measuring waits inside this process."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...


class SystemClock:
    """The machine's clock, read once: from then on wall time advances with monotonic time.

    A wall clock that is set while a batch runs would pass every deadline at once, or none. After a restart, deadlines
    are recomputed from stored UTC against the clock as it then is.
    """

    def __init__(self) -> None:
        self._began_at = datetime.now(UTC)
        self._began = time.monotonic()

    def now(self) -> datetime:
        """The wall time in UTC, free of jumps since this clock was made."""
        return self._began_at + timedelta(seconds=time.monotonic() - self._began)

    def monotonic(self) -> float:
        """The process's monotonic seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of real time."""
        await asyncio.sleep(seconds)
