"""Ctrl-C: once ends the batch properly, twice leaves at once and says what is left to `gc`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

from orchestrator.domain.batch import ExitCode

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """While it is entered, signals come here instead of ending the process.

    Before `hold` the first signal cancels the current task: nothing was started yet, so nothing needs to end. From
    `hold` on it wakes whoever waits in `answering`. `leaving` speaks before the second one ends the process.
    """

    def __init__(self, *, leaving: Callable[[], None]) -> None:
        self._asked = asyncio.Event()
        self._leaving = leaving
        self._held = False
        self._task: asyncio.Task[object] | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)

    @property
    def asked(self) -> bool:
        """True once a signal came."""
        return self._asked.is_set()

    def hold(self) -> None:
        """From here on a signal is answered by `answering`, which ends what was started."""
        self._held = True

    @asynccontextmanager
    async def answering(self, answer: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Run `answer` once if a signal comes before the block ends (or came since `hold`)."""

        async def wait() -> None:
            await self._asked.wait()
            await answer()

        waiting = asyncio.create_task(wait(), name="wait for an interruption")
        try:
            yield
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    def _signalled(self) -> None:
        if self._asked.is_set():
            self._leaving()
            os._exit(int(ExitCode.CANCELLED))
        self._asked.set()
        if not self._held and self._task is not None:
            self._task.cancel()
