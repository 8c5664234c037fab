"""A ramp: how many calls may be placed at once as a batch goes on, and when it is stopped before its end.

A level bounds, it cuts nothing short: calls under way when it falls come to their own end. Where the limits of the plan
allow less, they decide.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Final

JUDGED_BY: Final = 5  # `after`, where a plan does not say
P95: Final = 0.95
Level = tuple[float, int]  # from so many seconds on, so many calls


class Profile(StrEnum):
    """The shape of a ramp."""

    STEPS = "steps"
    LINEAR = "linear"
    SPIKE = "spike"
    SOAK = "soak"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """When a ramp is stopped; None: never for this.

    `join_p95`: bots take longer than so many seconds to join, at the 95th percentile. `min_pass_rate`: less than this
    share of conclusive runs passed. `capacity`: so many starts were refused for capacity since the level last rose.
    `after`: how many bots, or conclusive runs, there must be before the first two are asked.
    """

    join_p95: float | None = None
    min_pass_rate: float | None = None
    capacity: int | None = None
    after: int = JUDGED_BY


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """`lowest` calls at first, `highest` at most. All durations are seconds.

    Steps: `step` more every `seconds`. Linear: one by one over `seconds`. Spike: `highest` after `seconds`, for
    `lasting` seconds, and `lowest` again. Soak: the same from beginning to end.
    """

    profile: Profile
    lowest: int
    highest: int
    step: int = 1
    seconds: float = 0.0
    lasting: float = 0.0
    stop: StopRule | None = None


@lru_cache(maxsize=64)
def levels(ramp: Ramp) -> tuple[Level, ...]:
    """Every level in order, the first from second 0 on; the last holds until all runs are done."""
    lowest, highest, seconds = ramp.lowest, ramp.highest, ramp.seconds
    match ramp.profile:
        case Profile.STEPS:
            rises = math.ceil((highest - lowest) / ramp.step)
            return tuple((n * seconds, min(highest, lowest + n * ramp.step)) for n in range(rises + 1))
        case Profile.LINEAR:
            rises = highest - lowest
            return tuple((seconds * n / rises if n else 0.0, lowest + n) for n in range(rises + 1))
        case Profile.SPIKE:
            return (0.0, lowest), (seconds, highest), (seconds + ramp.lasting, lowest)
        case Profile.SOAK:
            return ((0.0, highest),)


def level(ramp: Ramp, seconds: float) -> int:
    """How many calls may be placed at once, so many seconds after the first start of the batch."""
    known = levels(ramp)
    return known[_position(known, seconds)][1]


def highest_until(ramp: Ramp, seconds: float) -> int:
    """The highest level reached by then."""
    known = levels(ramp)
    return max(calls for _, calls in known[: _position(known, seconds) + 1])


def last_rise(ramp: Ramp, seconds: float) -> float:
    """When the level last rose by then, in seconds; the beginning counts as a rise."""
    known = levels(ramp)
    rises = [0.0, *(at for (_, before), (at, after) in pairwise(known) if after > before)]
    return rises[max(0, bisect_right(rises, seconds) - 1)]


def next_change(ramp: Ramp, seconds: float) -> float | None:
    """When the level changes next, in seconds from the beginning; None where it stays."""
    known = levels(ramp)
    later = _position(known, seconds) + 1
    return known[later][0] if later < len(known) else None


def ramp_seconds(ramp: Ramp, *, runs: int, call_seconds: float) -> float:
    """How long so many calls take at least, each of that length: from the first to the end of the last."""
    now, ends = 0.0, list[float]()
    for _ in range(runs):
        while len(ends) >= level(ramp, now):
            change = next_change(ramp, now)
            end = ends[0]
            now = end if change is None else min(end, change)
            while ends and ends[0] <= now:
                heapq.heappop(ends)
        heapq.heappush(ends, now + call_seconds)
    return max(ends, default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a batch has shown: seconds from start intent to bot ready of the sessions last begun, in any order; runs by
    what they came to; starts refused for capacity since the level last rose.
    """

    joins: Sequence[float] = ()
    passed: int = 0
    conclusive: int = 0
    refused: int = 0


def stop_reason(rule: StopRule, observed: Observed) -> str | None:
    """Why the ramp is to be stopped, in words; None while it may go on."""
    if rule.join_p95 is not None and len(observed.joins) >= rule.after:
        join = nearest_rank(observed.joins, P95)
        if join > rule.join_p95:
            took = f"{join:.3g}" if join < 100 else f"{join:.0f}"  # noqa: PLR2004  three digits
            return f"bots took {took} s to join at the 95th percentile, more than {rule.join_p95:g} s"
    if rule.min_pass_rate is not None and observed.conclusive >= rule.after:
        rate = observed.passed / observed.conclusive
        if rate < rule.min_pass_rate:
            counts = f"{observed.passed} of {observed.conclusive} judged runs passed"
            return f"{counts} ({rate:.1%}), less than {rule.min_pass_rate:.1%}"
    if rule.capacity is not None and observed.refused >= rule.capacity:
        starts = "1 start was" if observed.refused == 1 else f"{observed.refused} starts were"
        return f"{starts} refused for capacity since the level last rose"
    return None


def nearest_rank(values: Sequence[float], share: float) -> float:
    """The smallest of these values that at least this share of them does not exceed; there must be some."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def ramp_text(ramp: Ramp) -> str:
    """A ramp in words."""
    match ramp.profile:
        case Profile.STEPS:
            rise = f"from {ramp.lowest} to {ramp.highest} calls at once, {ramp.step} more every {ramp.seconds:g} s"
            return f"steps: {rise}"
        case Profile.LINEAR:
            return f"linear: from {ramp.lowest} to {ramp.highest} calls at once over {ramp.seconds:g} s"
        case Profile.SPIKE:
            peak = f"{ramp.highest} after {ramp.seconds:g} s for {ramp.lasting:g} s"
            return f"spike: {ramp.lowest} calls at once, {peak}, then {ramp.lowest} again"
        case Profile.SOAK:
            return f"soak: {ramp.highest} calls at once until all runs are done"


def stop_text(rule: StopRule) -> str:
    """A stop rule in words."""
    causes = []
    if rule.join_p95 is not None:
        causes.append(f"bots take more than {rule.join_p95:g} s to join at the 95th percentile")
    if rule.min_pass_rate is not None:
        causes.append(f"less than {rule.min_pass_rate:.1%} of judged runs passed")
    if rule.capacity is not None:
        starts = "a start is" if rule.capacity == 1 else f"{rule.capacity} starts are"
        causes.append(f"{starts} refused for capacity at one level")
    asked = f" (asked from {rule.after} on)" if (rule.join_p95, rule.min_pass_rate) != (None, None) else ""
    return f"stopped when {', or '.join(causes)}{asked}"


def _position(known: Sequence[Level], seconds: float) -> int:
    return max(0, bisect_right(known, seconds, key=lambda one: one[0]) - 1)
