"""A process that drives one batch and may die at any moment, played inside the test: a worker, and how it ends.

Dying means that nothing of it reaches the rows or the remotes any more, from one moment to the next. What it had
sent is still answered, to nobody.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from orchestrator.app.batches import COLLECTED, cancel_leftovers, create_batch
from orchestrator.app.graph import open_worker
from orchestrator.domain.errors import StateUnusable
from orchestrator.settings import load_settings


@dataclass
class Fuse:
    """Death at the `writes`th commit from now: before it is made, or right after, when its caller never hears of it."""

    writes: int
    committed: bool


class Mortal:
    """At most one life at a time; all lives share the state in `environ`.

    `disk` seconds lie between a reading of the state and its answer, and between the wish to commit and the commit.
    """

    def __init__(self, environ, *, disk=0.0):
        self._settings = load_settings(environ)
        self._disk = disk
        self._life = None
        self.driving = None

    async def be_born(self):
        self._life = _Life(self._disk)
        self._worker = await self._life.begin(self._settings)

    async def create(self, loaded):
        """Commit a batch and drive it."""
        batch = await create_batch(self._worker, loaded)
        self.drive(batch.batch_id)
        return batch.batch_id

    def drive(self, batch_id):
        self.driving = asyncio.create_task(self._worker.driver.drive(batch_id), name="drive")

    async def collect(self):
        """What `gc` does before it drives: cancel whatever an earlier process left open."""
        await cancel_leftovers(self._worker, reason=COLLECTED)

    @property
    def store(self):
        return self._worker.store

    @property
    def clock(self):
        return self._worker.clock

    async def close(self):
        """End in order: stop driving, close what was opened."""
        await self._stop()

    async def die(self):
        """End at once."""
        self._life.dead = True
        await self._stop()

    async def burn(self, fuse, *, seconds):
        """Live on until the fuse has burnt down, the batch is closed, or `seconds` have passed."""
        self._life.fuse = fuse
        burning = asyncio.ensure_future(self._life.over.wait())
        await asyncio.wait([burning, self.driving], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        burning.cancel()
        return self._life.over.is_set()

    async def _stop(self):
        """Stop this life, where there is one; a batch whose driving raised is a defect."""
        driving, self.driving = self.driving, None
        finished = driving is None or driving.done()
        if driving is not None:
            driving.cancel()
            await asyncio.wait([driving])
        self._life.buried = True
        await self._life.stack.aclose()
        if finished and driving is not None:
            driving.result()


class _Life:
    """One worker from its opening to its end; the store obeys its fuse."""

    def __init__(self, disk):
        self._disk = disk
        self.stack = AsyncExitStack()
        self.fuse = None
        self.over = asyncio.Event()
        self.dead = False
        self.buried = False  # nothing of it goes on: what its closing would write is refused

    async def begin(self, settings):
        opened = open_worker(settings, command="test", environ={}, listener=lambda before, after: None)
        worker = await self.stack.enter_async_context(opened)
        self._commit, self._look = worker.store.write, worker.store.read
        worker.store.write, worker.store.read = self._write, self._read
        return worker

    async def _read(self, work):
        value = await self._look(work)
        if self._disk:
            await asyncio.sleep(self._disk)
        return value

    async def _write(self, work):
        if self._disk:
            await asyncio.sleep(self._disk)
        if self.dead and self.buried:
            raise StateUnusable("whoever is dead writes nothing")
        last = self._burn_down()
        if self.dead or (last and not self.fuse.committed):
            await self._never()
        value = await self._commit(work)
        if self.dead or last:
            await self._never()
        return value

    def _burn_down(self):
        if self.fuse is None:
            return False
        self.fuse.writes -= 1
        return self.fuse.writes <= 0

    async def _never(self):
        """Tell that this is the end, and wait to be ended."""
        self.over.set()
        await asyncio.get_running_loop().create_future()
