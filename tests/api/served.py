"""Serves from a thread of its own, for clients that block."""

import asyncio
import threading


class Served:
    """Holds an async context manager open in a thread, on a loop of its own; `value` is what it gave."""

    def __init__(self, opening):
        self._opening = opening
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(30)

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self._opening() as self.value:
            self._ready.set()
            await self._stop.wait()

    def close(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
