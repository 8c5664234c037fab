"""A bound on how often somebody may ask: a bucket of tokens for each, filled at a steady pace."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST_REMEMBERED: Final = 10_000  # whoever asked longest ago is forgotten, and begins with a full bucket


class RateBound:
    """`per_second` requests in the long run, `burst` at once, for each name; kept in this process only."""

    def __init__(self, *, per_second: float, burst: int, monotonic: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what is left, and since when

    def wait(self, name: str) -> float:
        """Seconds until `name` may ask again; 0 when it may now. Nothing is taken."""
        left = self._left(name)
        return 0.0 if left >= 1 else (1 - left) / self._per_second

    def take(self, name: str) -> float:
        """As `wait`, and one request is taken where it is 0."""
        seconds = self.wait(name)
        if not seconds:
            self._buckets[name] = (self._left(name) - 1, self._monotonic())
            self._buckets.move_to_end(name)
            if len(self._buckets) > MOST_REMEMBERED:
                self._buckets.popitem(last=False)
        return seconds

    def _left(self, name: str) -> float:
        left, since = self._buckets.get(name, (self._burst, self._monotonic()))
        return min(self._burst, left + (self._monotonic() - since) * self._per_second)
