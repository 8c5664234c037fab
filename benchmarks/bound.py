"""How fast a batch could have been: the same calls in the same order, with nothing in between but the remotes' rules.

All durations are seconds of life. The bound dispatches a call as soon as a slot is free and the dispatch rate allows
it; a session is ready for it at that very moment and its verdict is known half a poll interval after it was made. In
the same order no client can be faster, but for luck with the first call (its bot came late) and the last poll.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

JUDGED = "judged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the remotes impose: calls at once, dispatches a second, how long a verdict takes, when a slot is free."""

    calls: int
    slot_rule: str = JUDGED
    dispatch_per_second: float = 5.0
    evaluate_seconds: float = 10.0
    tester_seconds: float = 0.0
    """From a dispatch to its tester in the room, while the slot is held; 0 for the strict bound."""

    @property
    def slot_overhead(self) -> float:
        """How long a call holds its slot besides talking."""
        return self.tester_seconds + (self.evaluate_seconds if self.slot_rule == JUDGED else 0.0)


def dispatch(lengths: Sequence[float], rules: Rules) -> list[float]:
    """When each call ends, counted from the first dispatch; `lengths` are those of the calls, in their order."""
    busy: list[float] = []
    ends, turn = [], 0.0
    for length in lengths:
        free = 0.0 if len(busy) < rules.calls else heapq.heappop(busy)
        moment = max(turn, free)
        turn = moment + 1.0 / rules.dispatch_per_second
        ends.append(moment + rules.tester_seconds + length)
        heapq.heappush(busy, moment + rules.slot_overhead + length)
    return ends


def bound(lengths: Sequence[float], rules: Rules, *, first_call: float, poll_interval: float) -> float:
    """From the batch's beginning to its last verdict: `first_call` is when its first call really began."""
    if not lengths:
        return first_call
    last = max(dispatch(lengths, rules)) - rules.tester_seconds
    return first_call + last + rules.evaluate_seconds + poll_interval / 2


def longest_first(lengths: Sequence[float], rules: Rules, *, first_call: float, poll_interval: float) -> float:
    """The same, had the lengths been known and the longest calls gone first."""
    return bound(sorted(lengths, reverse=True), rules, first_call=first_call, poll_interval=poll_interval)


def optimum_floor(lengths: Sequence[float], rules: Rules, *, first_call: float, poll_interval: float) -> float:
    """What no order can beat: all work spread evenly over the slots, or the longest call, whichever takes longer."""
    if not lengths:
        return first_call
    # The slot of the call that ends last need not be free again before its verdict; the others' must.
    overhead = rules.slot_overhead
    even = (sum(lengths) + overhead * (len(lengths) - rules.calls)) / rules.calls
    work = max(even, *lengths)
    return first_call + work + rules.evaluate_seconds + poll_interval / 2
