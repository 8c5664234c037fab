"""In which rooms to look for a bot now: a look is a request, and a bot that nobody has seen yet idles and bills.

How long earlier bots took to be seen, and when a room was last found empty, say how many seconds its bot has probably
been waiting for a look. One is made where that is worth it, soonest where it is longest. Times are seconds since the
start answer of the room's session.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

REMEMBERED: Final = 32  # sightings; older ones may tell of a colder hour
WORTH_A_LOOK: Final = 0.3  # seconds that a bot has probably waited
LOOK_AGAIN_AFTER: Final = 0.5  # Daily's own presence is no fresher
GUESS: Final = 1.0  # the weight of not knowing, in sightings: finds out that bots became faster, or slower
NARROWEST: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A bot first seen `by` this time; at `after` it could not have been seen yet."""

    after: float
    by: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sightings:
    """What is known of how long bots take to be seen: how many of `count` were, at each of `times`, and the sum over
    time of that number. Between two of them the number grows evenly.
    """

    count: int = 0
    times: tuple[float, ...] = (0.0,)
    numbers: tuple[float, ...] = (0.0,)
    sums: tuple[float, ...] = (0.0,)

    @classmethod
    def of(cls, sightings: Iterable[Sighting]) -> Self:
        """Learn from sightings; each happened at any moment between its two times, as far as anybody knows."""
        seen = [(max(0.0, one.after), max(one.by, one.after + NARROWEST, NARROWEST)) for one in sightings]
        rates = [(after, 1 / (by - after)) for after, by in seen] + [(by, -1 / (by - after)) for after, by in seen]
        times, numbers, sums, rate = [0.0], [0.0], [0.0], 0.0
        for time, change in sorted(rates):
            step = time - times[-1]
            grown = numbers[-1] + rate * step
            sums.append(sums[-1] + step * (numbers[-1] + grown) / 2)
            times.append(time)
            numbers.append(grown)
            rate += change
        return cls(count=len(seen), times=tuple(times), numbers=tuple(numbers), sums=tuple(sums))

    def waited(self, *, empty_at: float, now: float) -> float:
        """The seconds that a bot not there at `empty_at` has probably been waiting for a look by `now`."""
        span = now - empty_at
        if span <= 0:
            return 0.0
        before, sum_before = self._at(empty_at)
        _, sum_now = self._at(now)
        guessed = GUESS * span * span / (2 * now)
        return (max(0.0, sum_now - sum_before - span * before) + guessed) / (self.count - before + GUESS)

    def chance(self, *, empty_at: float, now: float) -> float:
        """How likely a bot not there at `empty_at` is there by `now`."""
        if now <= empty_at:
            return 0.0
        before, by_now = self._at(empty_at)[0], self._at(now)[0]
        guessed = GUESS * (now - empty_at) / now
        return (max(0.0, by_now - before) + guessed) / (self.count - before + GUESS)

    def _at(self, time: float) -> tuple[float, float]:
        """How many had been seen by a time, and the sum of that number up to it."""
        position = bisect_right(self.times, time) - 1
        step = time - self.times[position]
        number = self.numbers[position]
        if position + 1 == len(self.times):
            return float(self.count), self.sums[position] + step * self.count
        rate = (self.numbers[position + 1] - number) / (self.times[position + 1] - self.times[position])
        return number + rate * step, self.sums[position] + step * (number + rate * step / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vigil:
    """A room that waits for its bot: found empty at `empty_at` (0: never looked at), asked about at `asked_at`."""

    nonce: str
    now: float
    empty_at: float = 0.0
    asked_at: float = float("-inf")


def plan_looks(vigils: Iterable[Vigil], *, sightings: Sightings) -> list[str]:
    """The rooms that are worth a look now, by nonce; the one whose bot has probably waited longest comes first."""
    due = [
        (sightings.waited(empty_at=one.empty_at, now=one.now), one.nonce)
        for one in vigils
        if one.now - one.asked_at >= LOOK_AGAIN_AFTER
    ]
    return [nonce for waited, nonce in sorted(due, reverse=True) if waited >= WORTH_A_LOOK]
