"""Which batches this process drives, each by one task at a time. The rows say what is left, so nothing else is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from loguru import logger

Drive = Callable[[str], Awaitable[None]]


class Dispatcher:
    """Drives batches over their rows; `close` stops driving and leaves the rows to whoever comes next."""

    def __init__(self, *, drive: Drive) -> None:
        self._drive = drive
        self._driving: dict[str, asyncio.Task[None]] = {}

    async def run(self, batch_id: str) -> None:
        """Drive a batch to its end; one that is being driven already is waited for."""
        await asyncio.shield(self.begin(batch_id))

    def begin(self, batch_id: str) -> asyncio.Task[None]:
        """Drive a batch in the background, by one task however often this is asked."""
        task = self._driving.get(batch_id)
        if task is None:
            task = asyncio.create_task(self._to_its_end(batch_id), name=f"drive {batch_id}")
            self._driving[batch_id] = task
            task.add_done_callback(lambda _: self._driving.pop(batch_id, None))
        return task

    async def close(self) -> None:
        """Stop driving; rows stay as they are, and whoever drives next goes on from them."""
        driving = list(self._driving.values())
        for task in driving:
            task.cancel()
        await asyncio.gather(*driving, return_exceptions=True)

    async def _to_its_end(self, batch_id: str) -> None:
        try:
            await self._drive(batch_id)
        except Exception:  # noqa: BLE001  the supervisor: whatever ended it, the rows say what is left, so it goes on once
            logger.exception("driving a batch met a defect; it is taken up again from its rows", batch=batch_id)
            await self._drive(batch_id)
