"""Looks at the state and at what is driven here every few seconds, and tells the metrics what stands how.

One grouped look over the rows that still matter, whatever history holds; and once a second, how late the loop comes.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from orchestrator.clock import Clock
from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.run import RunStatus
from orchestrator.engine.roster import Roster
from orchestrator.store.database import Store
from orchestrator.store.tally import take_tally

if TYPE_CHECKING:
    from orchestrator.telemetry.metrics import Metrics

LOOK_EVERY: Final = 10  # ticks
TICK: Final = 1.0  # seconds
CALLING: Final = (RunStatus.SUBMITTED, RunStatus.IN_CALL)


@asynccontextmanager
async def gauged(metrics: Metrics, *, store: Store, rosters: Mapping[str, Roster], clock: Clock) -> AsyncIterator[None]:
    """Keep the gauges of `metrics` true until the block ends; `rosters` are the batches driven here, now and later."""
    keeping = asyncio.create_task(_keep(metrics, store, rosters, clock), name="gauges")
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])


async def look(metrics: Metrics, *, store: Store, rosters: Mapping[str, Roster], clock: Clock) -> None:
    """Count once. While the state cannot be read its numbers stay as they were, and so does the time beside them."""
    runs: Counter[RunStatus] = Counter()
    for roster in rosters.values():
        runs.update(roster.statuses)
    driven = rosters.values()
    metrics.count_driven(
        runs,
        sessions=(sum(one.sessions_held() for one in driven), sum(one.plan.limits.concurrency for one in driven)),
        calls=(sum(runs[status] for status in CALLING), sum(one.plan.limits.calls for one in driven)),
    )
    try:
        metrics.looked(await store.read(partial(take_tally, now=clock.now())))
    except StateUnusable:
        return


async def _keep(metrics: Metrics, store: Store, rosters: Mapping[str, Roster], clock: Clock) -> None:
    tick = 0
    while True:
        if tick % LOOK_EVERY == 0:
            await look(metrics, store=store, rosters=rosters, clock=clock)
        tick += 1
        begun = clock.monotonic()
        await clock.sleep(TICK)
        metrics.loop_late(clock.monotonic() - begun - TICK)
