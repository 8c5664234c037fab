"""Ends calls at Cekura: one by one, or all calls of a result with one request."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from loguru import logger

from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.run import Run, RunStatus
from orchestrator.engine.remotes import Remotes

TRIES: Final = 3
CALLING: Final = frozenset({RunStatus.SUBMITTED, RunStatus.IN_CALL})
FIRST: Final = 1.0  # seconds that sessions wait, so that their calls end by name rather than by losing their bot


class CallEnds:
    """Every request here may be repeated, and a lost answer changes nothing: the room is torn down after it."""

    def __init__(self, *, remotes: Remotes) -> None:
        self._remotes = remotes
        self._asked: set[int] = set()  # calls whose end is asked for together with others
        self._under_way: set[asyncio.Task[None]] = set()

    async def end(self, run: Run) -> None:
        """End the call of a run, unless its end is being asked for already."""
        if run.cekura_run_id is not None and run.cekura_run_id not in self._asked:
            await self.end_call(run.cekura_run_id)

    async def end_call(self, cekura_run_id: int) -> None:
        """Ask Cekura to end one call."""
        for _ in range(TRIES):
            try:
                await self._remotes.cekura.end_call(cekura_run_id)
            except OrchestratorError as error:
                logger.warning("a call could not be ended at Cekura", cekura_run=cekura_run_id, error=str(error))
            else:
                return

    async def end_all(self, runs: Sequence[Run]) -> None:
        """Ask Cekura to end the calls of all `runs`; returns when it answered, at latest after FIRST seconds.

        Where Cekura is slow it goes on behind the caller's back: sessions must not bill because of that.
        """
        by_result: dict[int, list[int]] = {}
        for run in runs:
            if run.status in CALLING and run.cekura_run_id is not None and run.cekura_result_id is not None:
                by_result.setdefault(run.cekura_result_id, []).append(run.cekura_run_id)
                self._asked.add(run.cekura_run_id)
        await self.end_results(by_result)

    async def end_results(self, by_result: Mapping[int, Sequence[int]]) -> None:
        """The same for whole results, each with its runs by Cekura's numbers."""
        asked = [asyncio.create_task(self._end_result(result, ids)) for result, ids in by_result.items()]
        self._under_way.update(asked)
        for task in asked:
            task.add_done_callback(self._under_way.discard)
        if asked:
            await asyncio.wait(asked, timeout=FIRST)

    async def settle(self, seconds: float) -> None:
        """Wait a while for what is still asked for, then let it be."""
        if self._under_way:
            _, late = await asyncio.wait(list(self._under_way), timeout=seconds)
            for task in late:
                task.cancel()

    async def _end_result(self, cekura_result_id: int, cekura_run_ids: Sequence[int]) -> None:
        """End all calls of a result (every run of it is of one submission of ours); one by one where that fails."""
        try:
            await self._remotes.cekura.end_calls(cekura_result_id)
        except OrchestratorError as error:
            logger.warning("the calls of a result could not be ended", result=cekura_result_id, error=str(error))
            await asyncio.gather(*(self.end_call(one) for one in cekura_run_ids))
