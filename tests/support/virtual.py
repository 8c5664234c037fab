"""Virtual time for a batch and its sandbox in one process: half an hour passes in a second, however busy the machine.

While anything can go on, time stands still; when everybody waits, it jumps to the next timer. So an answer over
loopback and a commit take no time, and no machine is too slow for a deadline.
"""

import asyncio
import select
import selectors
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from unittest.mock import patch

from orchestrator.store.database import Store

LONGEST_WORK = 1.0  # real seconds; whoever takes longer is waited for again


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual; work that it hands to threads takes none of it."""

    def __init__(self):
        self.virtual = 1000.0
        self.awaited = set()  # works of threads that somebody awaits
        self.threads = set()  # those of them that are not done yet
        self.epoch = datetime.now(UTC) - timedelta(seconds=self.virtual)
        super().__init__(_Jumping(self))
        self._clock_resolution = 1e-6  # what a jump may lose in adding up

    def time(self):
        return self.virtual

    def now(self):
        return self.epoch + timedelta(seconds=self.virtual)

    def run_in_executor(self, executor, func, *args):
        work, through = self.handed(func)
        future = super().run_in_executor(executor, work, *args)
        future.add_done_callback(lambda _: through())
        return future

    def handed(self, work):
        """Work to hand to a thread, and what to call once it is no longer awaited: until then, time stands still."""
        token = object()
        self.awaited.add(token)
        self.threads.add(token)

        def working(*args):
            try:
                return work(*args)
            finally:
                self.threads.discard(token)

        def through():
            self.awaited.discard(token)
            self.threads.discard(token)

        return working, through


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting for a timer it moves the loop's time there; threads at work are waited for before anything."""

    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        if self._loop.threads:
            # A thread that has done its work wakes the loop through this pipe.
            select.select([self._loop._ssock], [], [], LONGEST_WORK)
        if timeout is None:
            return super().select(LONGEST_WORK)  # no timer to jump to
        ready = super().select(0)
        if ready or self._loop.awaited or timeout <= 0:
            return ready
        time.sleep(0)  # what the kernel still carries from socket to socket may arrive
        ready = super().select(0)
        if not ready:
            self._loop.virtual += timeout
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
    """Give sandbox and worker the time of `loop`; what is drawn to spread polls is drawn alike each time.

    A commit is made by a thread: time stands still until it is.
    """
    commit = Store.write

    async def write(store, work):
        handed, through = loop.handed(work)
        try:
            return await commit(store, handed)
        finally:
            through()

    wall = SimpleNamespace(time=lambda: loop.now().timestamp())
    with ExitStack() as patches:
        patches.enter_context(patch.object(Store, "write", write))
        patches.enter_context(patch("orchestrator.sandbox.clock.time", wall))
        patches.enter_context(patch("orchestrator.app.graph.SystemClock", lambda: VirtualClock(loop)))
        patches.enter_context(patch("orchestrator.app.graph.Random", lambda: Random(0)))
        # For ten seconds aiohttp remembers what a name resolved to: these must be virtual ones, too.
        patches.enter_context(patch("aiohttp.connector.monotonic", loop.time))
        yield
