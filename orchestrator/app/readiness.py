"""Whether a worker that serves is ready: its state and its dispatcher are really asked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from orchestrator.app.graph import Worker
from orchestrator.domain.errors import StateUnusable
from orchestrator.store import workers as worker_rows

FINE: Final = "ok"
LOOKED_WITHIN: Final = 15.0  # seconds; it looks every second, and waits for the state meanwhile


async def ask_parts(worker: Worker) -> Mapping[str, str]:
    """What is wrong with each part, by name; FINE where nothing is.

    `state`: can be read. `lease`: what this worker owns is certainly its own. `dispatcher`: looks for batches.
    """
    return {
        "state": await _state(worker),
        "lease": FINE if worker.membership.held else "not renewed: another worker may take what this one owns",
        "dispatcher": _dispatcher(worker),
    }


async def _state(worker: Worker) -> str:
    try:
        await worker.store.read(partial(worker_rows.count_live, now=worker.clock.now()))
    except StateUnusable:
        return "cannot be read"
    return FINE


def _dispatcher(worker: Worker) -> str:
    if worker.dispatcher.draining:
        return "draining: nothing new is begun"
    return FINE if worker.dispatcher.looked_within(LOOKED_WITHIN) else "has not looked for batches lately"
