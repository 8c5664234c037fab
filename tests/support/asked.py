"""What a sandbox was asked, and when."""

import asyncio
from bisect import bisect_right
from collections import Counter


class Asked(Counter):
    """The sandbox's count of requests, with the time of each."""

    def __init__(self):
        super().__init__()
        self.times = {}

    def __setitem__(self, operation, number):
        super().__setitem__(operation, number)
        self.times.setdefault(operation, []).append(asyncio.get_running_loop().now().timestamp())

    def most_within(self, seconds, *operations):
        times = sorted(time for operation in operations for time in self.times.get(operation, ()))
        return max(
            (position - bisect_right(times, time - seconds) + 1 for position, time in enumerate(times)), default=0
        )
