"""What a sandbox was asked, and when; and how a service is asked."""

import asyncio
import json
import urllib.request
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


def ask(url, order=None, **headers):
    """What a service answers, as JSON: a POST of `order` where there is one. OSError where it does not, or refuses."""
    data = None if order is None else json.dumps(order).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())
