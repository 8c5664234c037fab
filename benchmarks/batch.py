"""One batch in a process of its own against a sandbox in another; prints its own view as one JSON document.

`python -m benchmarks.batch SETTINGS`, the settings being those of `BatchSettings` as JSON, and the sandbox's
environment being set.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SCENARIOS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """`runs` in all; `sessions` and `calls` at once; `speed` of the sandbox. What is None is left to the plan."""

    runs: int
    sessions: int
    calls: int
    speed: float
    prefer: str | None = None
    slot_rule: str | None = None


def plan_text(*, runs: int, sessions: int, calls: int | None = None, limits: str = "", more: str = "") -> str:
    """A plan of `runs` runs over SCENARIOS scenarios, `sessions` and `calls` at once."""
    repeats = [runs // SCENARIOS + (1 if number < runs % SCENARIOS else 0) for number in range(SCENARIOS)]
    scenarios = "\n".join(f"  - {{scenario: {101 + n}, repeat: {r}}}" for n, r in enumerate(repeats) if r)
    return (
        "version: 1\nname: bench\nagent: {kind: pipecat_cloud, name: support-bot}\n"
        f"cekura: {{agent: 5, mock_tool_names: []}}\nscenarios:\n{scenarios}\n"
        f"limits: {{concurrency: {sessions}, calls: {calls or sessions}, starts_per_second: 5{limits}}}\n{more}"
    )


async def run(environ: dict[str, str], asked: BatchSettings) -> dict[str, Any]:
    """Run the batch; its times are real Unix seconds. It begins when its rows exist and the worker is up."""
    from orchestrator.app.batches import create_batch, run_batch, view_batch
    from orchestrator.app.graph import open_worker
    from orchestrator.plans import plan_from_text
    from orchestrator.settings import load_settings

    limits = f", call_slot_until: {asked.slot_rule}" if asked.slot_rule else ""
    text = plan_text(
        runs=asked.runs,
        sessions=asked.sessions,
        calls=asked.calls,
        limits=limits,
        more=f"prefer: {asked.prefer}\n" if asked.prefer else "",
    )
    loaded = plan_from_text(text, name="bench")
    async with open_worker(
        load_settings(environ), command="bench", environ={}, listener=_nobody, speed=asked.speed
    ) as worker:
        batch = await create_batch(worker, loaded, speed=asked.speed)
        began, cpu = time.time(), time.process_time()
        await run_batch(worker, batch.batch_id)
        ended, cpu = time.time(), time.process_time() - cpu
        view = await view_batch(worker.store, batch.batch_id)
    judged = [run.timeline["judged"].timestamp() for run in view.runs if "judged" in run.timeline]
    return {
        "began": began,
        "judged": max(judged, default=ended),
        "ended": ended,
        "verdicts": dict(Counter(str(run.outcome) for run in view.runs)),
        "cpu_seconds": cpu,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "poll_interval": loaded.plan.timing.poll_interval,
        "ready": {one.session_id: one.ready_at.timestamp() for one in view.sessions if one.session_id and one.ready_at},
        "reasons": dict(Counter(run.reason for run in view.runs if run.reason and str(run.outcome) != "passed")),
        "torn_down": all(session.torn_down for session in view.sessions),
    }


def _nobody(_before: object, _after: object) -> None:
    """Nobody listens: what is measured is the batch."""


@contextmanager
def state() -> Iterator[str]:
    """A database of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="orchestrator-bench-") as folder:
        yield f"sqlite:///{Path(folder) / 'state.db'}"


def main() -> None:
    """Run with the settings of the command line, and print the view."""
    asked = BatchSettings(**json.loads(sys.argv[1]))
    with state() as url:
        print(json.dumps(asyncio.run(run({**os.environ, "ORCHESTRATOR_DATABASE_URL": url}, asked))))


if __name__ == "__main__":
    main()
