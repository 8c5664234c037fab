"""The long-running worker: it takes batches, fires schedules, keeps pools filled, and stops without leaving riddles.

It stops in one of two ways. Where other workers share its state, it begins nothing more, waits for the answers to what
it paid for, and lets go: another worker goes on within a second or two, and no call is cut short. Where it is alone, it
starts no more sessions and gives the calls under way some time; what is left then stays in the rows, each with its
bound, for the worker that starts next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.app.graph import Worker

ANSWER_SECONDS: Final = 15.0  # for the answers to starts and submissions under way
LOOK_EVERY: Final = 0.2
Part = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a worker left when it stopped: batches still open, and sessions of theirs that may be alive."""

    batches: int
    sessions: int
    handed_over: bool


class Service:
    """One worker that serves. `parts` run beside the dispatcher for as long as it serves (schedules, pools)."""

    def __init__(self, worker: Worker, *, parts: Sequence[Part] = ()) -> None:
        self._worker = worker
        self._parts = parts

    async def serve(self) -> None:
        """Serve until cancelled, or until a part of it ends with a defect."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._worker.dispatcher.serve(), name="dispatcher")
            for part in self._parts:
                parts.create_task(_running(part), name="part of the service")

    async def drain(self, *, seconds: float) -> Left:
        """Begin nothing more, and leave as soon as that cuts no call short; alone, after so many seconds at most."""
        worker = self._worker
        worker.dispatcher.draining = True
        worker.driver.hold_starts()
        until = worker.clock.monotonic() + seconds
        while worker.driver.busy and not self.accompanied and worker.clock.monotonic() < until:
            await worker.clock.sleep(LOOK_EVERY)
        await worker.driver.stand_still(seconds=ANSWER_SECONDS)
        rosters = list(worker.driver.rosters.values())
        alive = sum(not session.torn_down for roster in rosters for session in roster.sessions.values())
        return Left(batches=len(rosters), sessions=alive, handed_over=self.accompanied)

    @property
    def accompanied(self) -> bool:
        """Whether another worker could go on with what this one leaves."""
        return self._worker.store.shared and self._worker.membership.workers > 1


async def _running(part: Part) -> None:
    await part()
