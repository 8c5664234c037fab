"""How fast one key may ask: a token bucket that whoever is about to call waits for, and that learns from refusals.

The rule. A bucket begins at its ceiling: the documented limit, or a generous guess where none is published. A 429 about
the rate halves the working rate (never below a fiftieth of the ceiling), once for all calls that were under way
together. Each quiet second gives a three-hundredth of the ceiling back: five minutes without a refusal undo anything.
Retry-After silences everybody who shares the bucket. A 429 about capacity says nothing of the rate.

A key's limit is one limit however many workers ask under it, so each goes at its share of the rate, and the bucket's
burst is shared with it.

Calls go out first come first served, except that one which ends something goes before those that only ask: a session
billed for a minute longer costs more than a poll made a second later.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from orchestrator.clock import Clock

LONGEST_HOLD: Final = 60.0  # seconds one Retry-After may silence a key; longer pauses are the caller's decision
WINDOW_SHARE: Final = 0.9  # of a documented window: arrivals bunch up on the way
SLOWDOWN: Final = 0.5
SLOWEST: Final = 0.02  # of the ceiling: teardown must get through whatever the remote says
RECOVERY_SECONDS: Final = 300.0  # from standing still to the ceiling


Share = Callable[[], int]


def alone() -> int:
    """Nobody else asks under the same key."""
    return 1


@dataclass(order=True, slots=True)
class _Place:
    """A place in the line: who ends something first, then who came first."""

    patient: bool
    number: int
    first: asyncio.Event = field(default_factory=asyncio.Event, compare=False)


class Pace:
    """At most `burst` calls at once and `rate` per second after that; `scale` hurries all of it, for a fast sandbox.

    `share` says how many workers go by this limit now.
    """

    def __init__(self, *, rate: float, burst: int = 1, scale: float = 1.0, share: Share = alone) -> None:
        if rate <= 0 or burst < 1:
            raise ValueError("a pace needs a positive rate and a burst of one or more")
        self._share = share
        self._ceiling = rate * scale
        self._regained = self._ceiling / (RECOVERY_SECONDS / scale)  # per quiet second
        self._slack = (burst - 1) / self._ceiling  # seconds: a lower rate makes the burst smaller as well
        self._lowered_to = self._ceiling
        self._lowered_at = float("-inf")
        self._next = 0.0  # when the bucket would be full again, on the clock's monotonic scale
        self._held_until = float("-inf")
        self._line: list[_Place] = []
        self._arrivals = 0

    @classmethod
    def for_window(cls, *, requests: int, seconds: float, scale: float = 1.0, share: Share = alone) -> Pace:
        """A pace that keeps any window of `seconds` below `requests`."""
        burst = max(1, requests // 10)
        rate = (requests * WINDOW_SHARE - burst) / seconds
        return cls(rate=rate, burst=burst, scale=scale, share=share)

    def rate(self, clock: Clock) -> float:
        """The working rate of all workers now, in calls per second."""
        quiet = clock.monotonic() - max(self._lowered_at, self._held_until)
        return min(self._ceiling, self._lowered_to + self._regained * max(quiet, 0.0))

    async def wait(self, clock: Clock, *, urgent: bool = False) -> float:
        """Return when one more call may go out, with that moment (monotonic); `urgent` ones go before the others."""
        self._arrivals += 1
        place = _Place(not urgent, self._arrivals)
        insort(self._line, place)
        try:
            await self._until_due(place, clock)
            return self._take(clock)
        finally:
            self._line.remove(place)
            if self._line:
                self._line[0].first.set()

    def hold(self, clock: Clock, seconds: float) -> None:
        """Send nothing for `seconds` (the remote said Retry-After), and no burst after it."""
        until = clock.monotonic() + min(max(seconds, 0.0), LONGEST_HOLD)
        self._held_until = max(self._held_until, until)
        self._next = max(self._next, self._held_until + self._slack)

    def slow_down(self, clock: Clock, *, sent_at: float) -> None:
        """A call sent at that moment was refused for its rate; one sent before the last such refusal says no more."""
        if sent_at < self._lowered_at:
            return
        lowered = max(self.rate(clock) * SLOWDOWN, self._ceiling * SLOWEST)
        self._lowered_to, self._lowered_at = lowered, clock.monotonic()
        self._next = max(self._next, self._lowered_at + self._slack + 1 / lowered)

    async def _until_due(self, place: _Place, clock: Clock) -> None:
        while True:
            if self._line[0] is not place:
                place.first.clear()
                await place.first.wait()
                continue
            due = max(self._held_until, self._next - self._slack)
            delay = due - clock.monotonic()
            if delay <= 0:
                return
            await clock.sleep(delay)

    def _take(self, clock: Clock) -> float:
        now = clock.monotonic()
        self._next = max(self._next, now) + max(1, self._share()) / self.rate(clock)
        return now
