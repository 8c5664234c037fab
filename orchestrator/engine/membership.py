"""This process as one worker among others: its name, its lease, and whether it still may act on what it owns.

A worker that was frozen for longer than its lease is fenced by another one, which takes what it owned. When it thaws it
must not go on: before every paid call it asks `sure()`, which answers at once while the lease holds by this process's
own clock, and else waits until the database has said whether somebody fenced it. With an SQLite file there is one
driver, and its lock says all of that.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Final

from loguru import logger

from orchestrator import __version__
from orchestrator.clock import Clock
from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.worker import WorkerRecord
from orchestrator.store import workers as worker_rows
from orchestrator.store.database import Store

LEASE_SECONDS: Final = 10.0
RENEWALS: Final = 4  # per lease
MARGIN: Final = 0.2  # of a lease: it is believed a little shorter than the database does, which hears of it later
Fenced = Callable[[], Awaitable[None]]


class Membership:
    """One per process; `worker_id` changes when it was fenced. `on_fenced` lets go of all that the old name owned."""

    def __init__(self, *, store: Store, clock: Clock, lease: float = LEASE_SECONDS) -> None:
        self._store = store
        self._clock = clock
        self._lease = lease
        self._believed_until = float("-inf")  # monotonic
        self._news = asyncio.Event()
        self._count = 1
        self._companions = 0
        self._serves = False
        self.worker_id = _new_name()
        self.on_fenced: Fenced | None = None

    @property
    def held(self) -> bool:
        """Whether what this worker owns is certainly still its own."""
        return not self._store.shared or self._clock.monotonic() < self._believed_until

    @property
    def workers(self) -> int:
        """How many workers were alive at the last look, this one among them."""
        return self._count

    @property
    def companions(self) -> int:
        """How many others, at the last look, would go on with what this worker leaves."""
        return self._companions

    async def take_part(self, *, serves: bool) -> None:
        """Say whether this worker goes on with what others leave, and look how many others do.

        A state that cannot be used is told to nobody: the next look counts anew.
        """
        self._serves = serves
        try:
            await self._tell_and_count()
        except StateUnusable as error:
            logger.warning("other workers could not be told", worker=self.worker_id, serves=serves, error=str(error))

    async def join(self) -> None:
        """Write this worker down. Of an SQLite file it is the only one: what others owned is free at once."""
        asked_at = self._clock.monotonic()
        record = WorkerRecord(
            worker_id=self.worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=__version__,
            started_at=self._clock.now(),
            lease_until=self._clock.now(),
        )
        lease = timedelta(seconds=self._lease)
        unit = partial(worker_rows.record_joined, worker=record, lease=lease, alone=not self._store.shared)
        await self._store.write(unit)
        self._believe(asked_at)
        if self._store.shared:
            await self._tell_and_count()
            await self._look_after_others()

    async def run(self) -> None:
        """Renew the lease until cancelled, fence whoever lost theirs; nothing to do where there can be no others."""
        while self._store.shared:
            await self._clock.sleep(self._lease / RENEWALS)
            await self.beat()

    async def beat(self) -> None:
        """Renew once, and look after the others. A state that cannot be reached is no reason to let go: nobody else
        can reach it either, and `held` tells in time that nothing may be begun.
        """
        asked_at = self._clock.monotonic()
        try:
            renewed = await self._store.write(
                partial(
                    worker_rows.renew,
                    worker_id=self.worker_id,
                    lease=timedelta(seconds=self._lease),
                    now=self._clock.now(),
                )
            )
            if not renewed:
                await self._begin_anew()
                return
            self._believe(asked_at)
            await self._look_after_others()
        except StateUnusable as error:
            logger.warning("the lease could not be renewed", worker=self.worker_id, error=str(error))

    async def sure(self) -> bool:
        """Whether this worker still owns what it owned: at once while its lease holds, else when the state has told."""
        name = self.worker_id
        while not self.held and self.worker_id == name:
            self._news.clear()
            await self._news.wait()
        return self.worker_id == name

    async def leave(self) -> None:
        """Leave in good order: what is left undone is free for others at once."""
        try:
            await self._store.write(partial(worker_rows.record_gone, worker_id=self.worker_id, now=self._clock.now()))
        except StateUnusable as error:
            logger.warning("a worker left without a word: its lease has to run out", error=str(error))

    async def _look_after_others(self) -> None:
        fence = partial(worker_rows.fence_expired, by=self.worker_id, now=self._clock.now())
        for dead in await self._store.write(fence):
            logger.warning("a worker's lease ran out: what it owned is free", worker=dead)
        await self._count_workers()

    async def _tell_and_count(self) -> None:
        if self._store.shared:
            told = partial(worker_rows.record_serves, worker_id=self.worker_id, serves=self._serves)
            await self._store.write(told)
            await self._count_workers()

    async def _count_workers(self) -> None:
        now = self._clock.now()
        self._count = max(1, await self._store.read(partial(worker_rows.count_live, now=now)))
        companions = partial(worker_rows.count_companions, worker_id=self.worker_id, now=now)
        self._companions = await self._store.read(companions)

    async def _begin_anew(self) -> None:
        logger.error("this worker was fenced: another one took what it owned", worker=self.worker_id)
        self.worker_id = _new_name()
        self._believed_until = float("-inf")
        self._news.set()
        if self.on_fenced is not None:
            await self.on_fenced()
        await self.join()

    def _believe(self, asked_at: float) -> None:
        self._believed_until = asked_at + self._lease * (1 - MARGIN)
        self._news.set()


def _new_name() -> str:
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
