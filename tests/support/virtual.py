"""Virtual time for a batch and its sandbox in one process: half an hour passes in a second, however busy the machine.

While anything can go on, time stands still; when everybody waits, it jumps to the next timer. So an answer over
loopback and a commit take no time, and no machine is too slow for a deadline.
"""

import asyncio
import selectors
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

STUCK = 60.0  # real seconds without anything to do


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual; work that it hands to threads takes none of it."""

    def __init__(self):
        self.virtual = 1000.0
        self.working = 0
        self.epoch = datetime.now(UTC) - timedelta(seconds=self.virtual)
        super().__init__(_Jumping(self))
        self._clock_resolution = 1e-6  # what a jump may lose in adding up

    def time(self):
        return self.virtual

    def now(self):
        return self.epoch + timedelta(seconds=self.virtual)

    def run_in_executor(self, executor, func, *args):
        future = super().run_in_executor(executor, func, *args)
        self.working += 1
        future.add_done_callback(self._worked)
        return future

    def _worked(self, _):
        self.working -= 1


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting for a timer, it moves the loop's time there."""

    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        time.sleep(0)  # what the kernel still carries from socket to socket may arrive
        ready = super().select(0)
        if ready:
            return ready
        if self._loop.working or timeout is None:
            return self._wait()
        self._loop.virtual += timeout
        return []

    def _wait(self):
        ready = super().select(STUCK)
        if not ready:
            raise RuntimeError("nothing will ever happen in this loop again")
        return ready


class VirtualClock:
    """The clock of the orchestrator, moved by a loop."""

    def __init__(self, loop):
        self.now = loop.now
        self.monotonic = loop.time

    async def sleep(self, seconds):
        await asyncio.sleep(seconds)


@contextmanager
def virtual_time(loop):
    """Give sandbox and worker the time of `loop`; what is drawn to spread polls is drawn alike each time."""
    wall = SimpleNamespace(time=lambda: loop.now().timestamp())
    with ExitStack() as patches:
        patches.enter_context(patch("orchestrator.sandbox.clock.time", wall))
        patches.enter_context(patch("orchestrator.app.graph.SystemClock", lambda: VirtualClock(loop)))
        patches.enter_context(patch("orchestrator.app.graph.Random", lambda: Random(0)))
        yield
