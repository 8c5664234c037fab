"""Which batches this process drives, each by one task at a time. The rows say what is left, so nothing else is kept.

A worker that serves takes batches that nobody owns, the oldest first, as many as it may drive at once. What it owned
when it was fenced it lets go as it is: another worker drives that now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.batch import Batch, Origin
from orchestrator.domain.errors import StateUnusable
from orchestrator.engine.membership import Membership
from orchestrator.store import batches as batch_rows
from orchestrator.store.database import Store

LOOK_EVERY: Final = 1.0
BATCHES_AT_ONCE: Final = 20
LEFT_BEHIND: Final = "an earlier process ended before this batch did; its sessions are torn down"
Drive = Callable[[str], Awaitable[None]]


class Dispatcher:
    """Drives batches over their rows; `close` stops driving and leaves the rows to whoever comes next."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        membership: Membership,
        drive: Drive,
        most: int = BATCHES_AT_ONCE,
    ) -> None:
        self._store = store
        self._clock = clock
        self._membership = membership
        self._drive = drive
        self._most = most
        self._driving: dict[str, asyncio.Task[None]] = {}
        self._given_up: set[str] = set()  # their driving met a defect twice: another process may do better
        self._awake = asyncio.Event()
        self._looked_at = float("-inf")
        self.draining = False

    @property
    def driven(self) -> int:
        """How many batches this process drives."""
        return len(self._driving)

    async def run(self, batch_id: str) -> None:
        """Drive a batch to its end; one that is being driven already is waited for."""
        await asyncio.shield(self.begin(batch_id))

    def begin(self, batch_id: str) -> asyncio.Task[None]:
        """Drive a batch in the background, by one task however often this is asked."""
        task = self._driving.get(batch_id)
        if task is None:
            task = asyncio.create_task(self._to_its_end(batch_id), name=f"drive {batch_id}")
            self._driving[batch_id] = task
            task.add_done_callback(partial(self._ended, batch_id))
        return task

    def wake(self) -> None:
        """There may be a batch to take: look at once."""
        self._awake.set()

    def looked_within(self, seconds: float) -> bool:
        """Whether the last look for batches was not longer ago: the sign that this worker works."""
        return self._clock.monotonic() - self._looked_at <= seconds

    async def serve(self, *, origin: Origin | None = None) -> None:
        """Take and drive batches that nobody owns, until cancelled; nothing more is taken while it drains.

        `origin`: only those that were asked for in this way.
        """
        while True:
            if not self.draining:
                await self._take(origin)
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._awake.wait()
            except TimeoutError:
                pass
            self._awake.clear()

    async def let_go(self) -> None:
        """Stop driving what this worker no longer owns; nothing is written and nothing is ended."""
        driving = list(self._driving.values())
        for task in driving:
            task.cancel()
        await asyncio.gather(*driving, return_exceptions=True)

    async def close(self) -> None:
        """Stop driving; rows stay as they are, and whoever drives next goes on from them."""
        self.draining = True
        await self.let_go()

    async def idle(self) -> None:
        """Wait until nothing is driven."""
        while self._driving:
            await asyncio.wait(list(self._driving.values()))

    async def _take(self, origin: Origin | None) -> None:
        room = self._most - len(self._driving)
        try:
            if room > 0 and self._membership.held:
                own = self._membership.worker_id
                claim = partial(
                    batch_rows.claim_batches,
                    worker_id=own,
                    most=room,
                    origin=origin,
                    driven=self._driving.keys() | self._given_up,
                )
                for batch in await self._store.write(claim):
                    if batch.batch_id not in self._driving:  # nobody began it meanwhile
                        await self._take_up(batch)
            self._looked_at = self._clock.monotonic()
        except StateUnusable as error:
            logger.warning("no batch can be taken: the state cannot be used", error=str(error))

    async def _take_up(self, batch: Batch) -> None:
        """What a command left behind is not what anybody waits for today: it is torn down (docs/decisions/0006)."""
        if batch.origin is Origin.COMMAND:
            cancel = partial(
                batch_rows.record_cancel, batch_id=batch.batch_id, at=self._clock.now(), reason=LEFT_BEHIND
            )
            await self._store.write(cancel)
        logger.info("took a batch", batch=batch.batch_id, name=batch.name, origin=batch.origin.value)
        self.begin(batch.batch_id)

    def _ended(self, batch_id: str, task: asyncio.Task[None]) -> None:
        if self._driving.get(batch_id) is task:
            del self._driving[batch_id]
        self._awake.set()

    async def _to_its_end(self, batch_id: str) -> None:
        try:
            await self._drive(batch_id)
        except Exception:  # noqa: BLE001  the supervisor: whatever ended it, the rows say what is left, so it goes on once
            logger.exception("driving a batch met a defect; it is taken up again from its rows", batch=batch_id)
            self._given_up.add(batch_id)
            await self._drive(batch_id)
            self._given_up.discard(batch_id)
