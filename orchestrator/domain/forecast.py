"""How many call slots will be free by the time a bot started now is ready: learnt from the batch itself as it runs.

A start made when a slot frees leaves that slot empty until the bot is ready; one made too early leaves the bot waiting,
and it bills. What is known of calls under way (their ages) and of calls that ended (their lengths) says how many slots
free within a start's lead; `Preference` says how sure we want to be before a session is spent on one of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import floor, sqrt
from statistics import NormalDist
from typing import Final

HALF: Final = 0.5
ROUNDING: Final = 1e-9  # what adding up chances of one may lose


class Preference(StrEnum):
    """What a plan would rather spend where the two conflict: session time, or the batch's time."""

    COST = "cost"
    BALANCED = "balanced"
    TIME = "time"

    @property
    def confidence(self) -> float:
        """How likely a slot must be free before a session is started for it."""
        return _CONFIDENCE[self]


_CONFIDENCE: Final = {Preference.COST: 0.9, Preference.BALANCED: 0.66, Preference.TIME: 0.1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lasting:
    """How long something lasts: the share that is still going on after each length that was seen (Kaplan-Meier).

    What still goes on counts as well, as lasting at least this long. Without it the first to end would speak for all,
    and they are the shortest. `lengths` are seconds, ascending; `shares` are those left after each.
    """

    lengths: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()

    @staticmethod
    def of(ended: Iterable[float], going_on: Iterable[float] = (), *, doubt: float = 0.0) -> Lasting:
        """Learn from what ended (its lengths, seconds) and from what goes on (its ages).

        `doubt` adds that many which never end: where few were seen at an age, one end among them proves little. All
        calls of a first wave are of one age, so that a mistake about the oldest would be made about every one of them.
        """
        ends, ages = sorted(ended), sorted(going_on)
        lengths, shares, share = list[float](), list[float](), 1.0
        position = 0
        while position < len(ends):
            length = ends[position]
            after = bisect_right(ends, length, lo=position)
            lasted = doubt + len(ends) - position + len(ages) - bisect_right(ages, length)
            share *= 1 - (after - position) / lasted
            lengths.append(length)
            shares.append(share)
            position = after
        return Lasting(lengths=tuple(lengths), shares=tuple(shares))

    @property
    def typical(self) -> float | None:
        """The length after which half of all have ended, in seconds; None while fewer have."""
        return next((length for length, share in zip(self.lengths, self.shares, strict=True) if share <= HALF), None)

    def share_after(self, seconds: float) -> float:
        """The share that lasts longer than this."""
        position = bisect_right(self.lengths, seconds)
        return self.shares[position - 1] if position else 1.0

    def chance_of_end(self, age: float, *, within: float) -> float:
        """How likely what has this age ends within so many seconds; 0 where nothing is known of such an age."""
        left = self.share_after(age)
        if left == 0:
            return 1.0
        return 1 - self.share_after(age + within) / left if within > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """How many of some slots will be free at a moment: their number on average, and how far it may lie from that."""

    mean: float = 0.0
    variance: float = 0.0

    @staticmethod
    def of(chances: Sequence[float]) -> Forecast:
        """Add up independent slots, each free with its chance."""
        return Forecast(mean=sum(chances), variance=sum(chance * (1 - chance) for chance in chances))

    def at_least(self, confidence: float) -> int:
        """How many are free with at least this probability.

        By the normal curve, with half a slot added because it stands for whole numbers.
        """
        spread = NormalDist().inv_cdf(confidence) * sqrt(max(self.variance, 0.0))
        return max(0, floor(self.mean + (HALF if self.variance else 0.0) - spread + ROUNDING))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a batch has shown of its own calls: how long they last, and how long their evaluation does.

    `call_ages` and `evaluation_ages` are those of calls and evaluations under way, in seconds.
    """

    calls: Lasting
    evaluations: Lasting
    call_ages: Sequence[float]
    evaluation_ages: Sequence[float]

    def freed(self, *, within: float, until_judged: bool) -> Forecast:
        """How many of the slots taken by these calls will be free after `within` seconds.

        `until_judged`: whether an evaluation still holds the slot of its call.
        """
        if not until_judged:
            return Forecast.of([self.calls.chance_of_end(age, within=within) for age in self.call_ages])
        soon = [self.evaluations.chance_of_end(age, within=within) for age in self.evaluation_ages]
        evaluation = self.evaluations.typical
        if evaluation is not None and within > evaluation:
            left = within - evaluation
            soon += [self.calls.chance_of_end(age, within=left) for age in self.call_ages]
        return Forecast.of(soon)
