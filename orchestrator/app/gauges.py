"""Looks at the state and at what is driven here every few seconds, and tells the metrics what stands how.

One grouped look over the rows that still matter, whatever history holds; and once a second, how late the loop comes.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from orchestrator.app.graph import Worker
from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.run import RunStatus
from orchestrator.store.tally import take_tally

if TYPE_CHECKING:
    from orchestrator.telemetry.metrics import Metrics

LOOK_EVERY: Final = 10  # ticks
TICK: Final = 1.0  # seconds
CALLING: Final = (RunStatus.SUBMITTED, RunStatus.IN_CALL)


async def keep_gauges(worker: Worker, metrics: Metrics) -> None:
    """Keep what `metrics` shows of the state true, until cancelled: a part of a service."""
    clock, tick = worker.clock, 0
    while True:
        if tick % LOOK_EVERY == 0:
            await look(worker, metrics)
        tick += 1
        begun = clock.monotonic()
        await clock.sleep(TICK)
        metrics.loop_late(clock.monotonic() - begun - TICK)


async def look(worker: Worker, metrics: Metrics) -> None:
    """Count once. While the state cannot be read its numbers stay as they were, and so does the time beside them."""
    driven = list(worker.driver.rosters.values())
    runs: Counter[RunStatus] = Counter()
    for roster in driven:
        runs.update(roster.statuses)
    metrics.count_driven(
        runs,
        sessions=(sum(one.sessions_held() for one in driven), sum(one.plan.limits.concurrency for one in driven)),
        calls=(sum(runs[status] for status in CALLING), sum(one.plan.limits.calls for one in driven)),
    )
    try:
        metrics.looked(await worker.store.read(partial(take_tally, now=worker.clock.now())))
    except StateUnusable:
        return
