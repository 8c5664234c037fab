"""How fast one key may ask: a token bucket that whoever is about to call waits for."""

from __future__ import annotations

from typing import Final

from orchestrator.clock import Clock

LONGEST_HOLD: Final = 60.0  # seconds one Retry-After may silence a key; longer pauses are the caller's decision
WINDOW_SHARE: Final = 0.9  # of a documented window: arrivals bunch up on the way


class Pace:
    """At most `burst` calls at once and `rate` per second after that, first come first served."""

    def __init__(self, *, rate: float, burst: int = 1) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("a pace needs a positive rate and a burst of one or more")
        self._interval = 1.0 / rate
        self._slack = (burst - 1) * self._interval
        self._next = 0.0  # when the bucket would be full again, on the clock's monotonic scale
        self._held_until = 0.0

    @classmethod
    def for_window(cls, *, requests: int, seconds: float, scale: float = 1.0) -> Pace:
        """A pace that keeps any window of `seconds` below `requests`; `scale` multiplies the rate."""
        burst = max(1, requests // 10)
        rate = (requests * WINDOW_SHARE - burst) / seconds
        return cls(rate=rate * scale, burst=burst)

    async def wait(self, clock: Clock) -> None:
        """Return when one more call may go out."""
        while True:
            now = clock.monotonic()
            if now < self._held_until:
                await clock.sleep(self._held_until - now)
                continue
            delay = self._reserve(now)
            if delay <= 0:
                return
            await clock.sleep(delay)
            if clock.monotonic() >= self._held_until:
                return

    def hold(self, clock: Clock, seconds: float) -> None:
        """Send nothing for `seconds` (the remote said Retry-After), and no burst after it."""
        until = clock.monotonic() + min(max(seconds, 0.0), LONGEST_HOLD)
        self._held_until = max(self._held_until, until)
        self._next = max(self._next, self._held_until + self._slack)

    def _reserve(self, now: float) -> float:
        self._next = max(self._next, now)
        delay = self._next - self._slack - now
        self._next += self._interval
        return delay
