"""One batch in a process of its own against a sandbox in another; prints its figures as one JSON document."""

from __future__ import annotations

import asyncio
import json
import math
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

SCENARIOS: Final = 20


def plan_text(*, runs: int, sessions: int) -> str:
    """A plan of `runs` runs over SCENARIOS scenarios, `sessions` at once."""
    repeats = [runs // SCENARIOS + (1 if number < runs % SCENARIOS else 0) for number in range(SCENARIOS)]
    scenarios = "\n".join(f"  - {{scenario: {101 + n}, repeat: {r}}}" for n, r in enumerate(repeats) if r)
    return (
        "version: 1\nname: bench\nagent: {kind: pipecat_cloud, name: support-bot}\n"
        f"cekura: {{agent: 5, mock_tool_names: []}}\nscenarios:\n{scenarios}\n"
        f"limits: {{concurrency: {sessions}, calls: {sessions}, starts_per_second: 5}}\n"
    )


async def run(environ: dict[str, str], *, runs: int, sessions: int, speed: float) -> dict[str, Any]:
    """Run the batch; times are real seconds, `intervals` are poll intervals during which something was with Cekura."""
    from orchestrator.app.batches import create_batch, run_batch, view_batch
    from orchestrator.app.graph import open_worker
    from orchestrator.plans import plan_from_text
    from orchestrator.settings import load_settings

    loaded = plan_from_text(plan_text(runs=runs, sessions=sessions), name="bench")
    cpu, began = time.process_time(), time.monotonic()
    async with open_worker(
        load_settings(environ), command="bench", environ={}, listener=_nobody, speed=speed
    ) as worker:
        batch = await create_batch(worker, loaded, speed=speed)
        await worker.durable.launch()
        await run_batch(worker, batch.batch_id)
        view = await view_batch(worker.store, batch.batch_id)
    submitted = [run.timeline["submitted"] for run in view.runs]
    judged = [run.timeline["judged"] for run in view.runs]
    watched = (max(judged) - min(submitted)).total_seconds()
    return {
        "runs": runs,
        "outcome": str(view.batch.outcome),
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "intervals": math.ceil(watched / (loaded.plan.timing.poll_interval / speed)),
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
    """`python -m benchmarks.batch RUNS SESSIONS SPEED`, the sandbox's environment being set."""
    runs, sessions, speed = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    with state() as url:
        environ = {**os.environ, "ORCHESTRATOR_DATABASE_URL": url}
        print(json.dumps(asyncio.run(run(environ, runs=runs, sessions=sessions, speed=speed))))


if __name__ == "__main__":
    main()
