"""A sandbox in a thread of its own, beside real processes."""

import asyncio
import threading

from orchestrator.sandbox import Sandbox, SandboxSettings

SPEED = 50.0
QUICK = {
    "speed": SPEED,
    "start_seconds": 0.0,
    "join_seconds": (2.0, 3.0),
    "call_seconds": (15.0, 20.0),
    "evaluate_seconds": 5.0,
    "connect_timeout": 3000.0,  # nothing here is about it, and a busy machine is late
    "presence_lag": 0.0,
    "room_presence_lag": 0.0,
}


class Play:
    """A sandbox that serves from a thread until it is closed."""

    def __init__(self, **settings):
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(SandboxSettings(**QUICK | settings),))
        self._thread.start()
        assert self._ready.wait(10)

    def _serve(self, settings):
        asyncio.run(self._host(settings))

    async def _host(self, settings):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with Sandbox(settings) as self.sandbox:
            self._ready.set()
            await self._stop.wait()

    @property
    def url(self):
        return self.sandbox.url

    def environment(self):
        return self.sandbox.environment()

    def world(self):
        async def look():
            return self.sandbox.world()

        return asyncio.run_coroutine_threadsafe(look(), self._loop).result(10)

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
