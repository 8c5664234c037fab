"""Ctrl-C and its relatives: each signal asks for one step more, and the one after the last leaves at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self, TextIO

from orchestrator.domain.batch import ExitCode

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """While it is entered, signals come here instead of ending the process.

    Before `hold` the first signal cancels the current task: nothing was started yet, so nothing needs to end. From
    `hold` on signals wake whoever waits in `answering`. `leaving` speaks before the last one ends the process.
    """

    def __init__(self, *, leaving: Callable[[], None]) -> None:
        self._signals = asyncio.Semaphore(0)
        self._came = 0
        self._steps = 1
        self._leaving = leaving
        self._held = False
        self._task: asyncio.Task[object] | None = None
        self._taken: list[signal.Signals] = []

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` wants its hang-ups ignored
                asyncio.get_running_loop().add_signal_handler(number, self._signalled, number)
                self._taken.append(number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in self._taken:
            asyncio.get_running_loop().remove_signal_handler(number)

    @property
    def asked(self) -> bool:
        """True once a signal came."""
        return self._came > 0

    def hold(self) -> None:
        """From here on a signal is answered by `answering`, which ends what was started."""
        self._held = True

    @asynccontextmanager
    async def answering(self, *answers: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Run one answer for each signal that comes before the block ends (or came since `hold`), in order."""
        self._steps = len(answers)

        async def wait() -> None:
            for answer in answers:
                await self._signals.acquire()
                await answer()

        waiting = asyncio.create_task(wait(), name="wait for an interruption")
        try:
            yield
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    def _signalled(self, number: signal.Signals) -> None:
        if number is signal.SIGHUP:
            _let_terminal_go(sys.stdout, sys.stderr)
        self._came += 1
        if self._came > self._steps:
            self._leaving()
            os._exit(int(ExitCode.CANCELLED))
        self._signals.release()
        if not self._held and self._task is not None:
            self._task.cancel()


def _let_terminal_go(*streams: TextIO) -> None:
    """The terminal is gone: a line written to it would fail in the middle of a teardown."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        if stream.isatty():
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
