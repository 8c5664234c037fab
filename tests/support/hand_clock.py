"""A clock for what only waits: it moves when somebody sleeps on it, and when a test moves it."""

import asyncio
from datetime import UTC, datetime


class HandClock:
    """`at` is its time, monotonic and of the wall."""

    def __init__(self):
        self.at = 1000.0

    def now(self):
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self):
        return self.at

    async def sleep(self, seconds):
        self.at += max(seconds, 0.0)
        await asyncio.sleep(0)
