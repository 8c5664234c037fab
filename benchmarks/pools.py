"""What a pool saves and costs: from a run's start to its submission with and without one, and the idle seconds paid.

Run with `python -m benchmarks.pools [--quick]`. One worker of this process, a sandbox in another; the same batch, first
where each run starts a session of its own, then where as many warm sessions wait. All figures are seconds of life.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final

from loguru import logger

from benchmarks.batch import plan_text, state
from benchmarks.idle import idle_seconds, quantiles
from benchmarks.sandbox import RunningSandbox, running_sandbox

SPEED: Final = 10.0
WAITS: Final = 60.0  # seconds of life between a filled pool and the batch that takes it
POOL: Final = "bench"
AGENT: Final = "agent: {kind: pipecat_cloud, name: support-bot}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A batch of `runs`, all at once; `pooled`: with as many warm sessions."""

    runs: int
    pooled: bool


def measure(*, quick: bool = False) -> list[dict[str, Any]]:
    """One row without a pool and one with."""
    logger.remove()  # what is printed is the figures
    runs = 4 if quick else 20
    return [_measured(Case(runs=runs, pooled=pooled)) for pooled in (False, True)]


def _measured(case: Case) -> dict[str, Any]:
    with (
        running_sandbox(speed=SPEED, call_seconds=(20.0, 40.0), calls_limit=case.runs) as sandbox,
        state() as url,
    ):
        environ = {**os.environ, **sandbox.environment, "ORCHESTRATOR_DATABASE_URL": url}
        return asyncio.run(_played(case, environ, sandbox))


async def _played(case: Case, environ: dict[str, str], sandbox: RunningSandbox) -> dict[str, Any]:
    from orchestrator.app.graph import open_worker
    from orchestrator.settings import load_settings

    async with open_worker(
        load_settings(environ), command="bench", environ={}, listener=_nobody, speed=SPEED
    ) as worker:
        keeping = await _filled(worker, case.runs) if case.pooled else None
        row = await _batch(worker, case, sandbox)
        if keeping is not None:
            await _emptied(worker, keeping)
    everything = idle_seconds(sandbox.history())
    return row | {"idle_unused": everything - row["idle_seconds"]}


async def _batch(worker: Any, case: Case, sandbox: RunningSandbox) -> dict[str, Any]:
    from orchestrator.app.batches import create_batch, run_batch, view_batch
    from orchestrator.plans import plan_from_text

    text = plan_text(runs=case.runs, sessions=case.runs)
    if case.pooled:
        text = text.replace(AGENT, AGENT.replace("}", f", pool: {POOL}}}"))
    batch = await create_batch(worker, plan_from_text(text, name="bench"), speed=SPEED)
    began = time.monotonic()
    await run_batch(worker, batch.batch_id)
    seconds = time.monotonic() - began
    view = await view_batch(worker.store, batch.batch_id)
    waits = [
        SPEED * (run.timeline["submitted"] - run.timeline["starting"]).total_seconds()
        for run in view.runs
        if "submitted" in run.timeline
    ]
    taken = [one for one in view.sessions if one.taken_at is not None]
    return {
        "pool": case.pooled,
        "runs": case.runs,
        "passed": sum(str(run.outcome) == "passed" for run in view.runs),
        "start_to_submit": quantiles(waits),
        "batch_seconds": SPEED * seconds,
        "idle_seconds": _idle(sandbox, {one.session_id for one in view.sessions}),
        "idle_in_pool": SPEED * sum((one.taken_at - one.sent_at).total_seconds() for one in taken),
        "served": len(taken),
    }


def _idle(sandbox: RunningSandbox, session_ids: Collection[str | None]) -> float:
    """What the sessions of the batch idled in all, as the world says."""
    history = sandbox.history()
    return idle_seconds({**history, "sessions": [one for one in history["sessions"] if one["id"] in session_ids]})


async def _filled(worker: Any, runs: int) -> tuple[Any, asyncio.Task[None]]:
    """A keeper whose pool was filled for WAITS seconds, and the task it runs in."""
    from orchestrator.app.pools import create_pool, show_pool
    from orchestrator.engine.pools import PoolKeeper

    await create_pool(worker.store, _spec(runs), clock=worker.clock, actor="a benchmark")
    keeper = PoolKeeper(
        store=worker.store,
        remotes=worker.remotes,
        clock=worker.clock,
        place="bench",
        worker_id=lambda: worker.membership.worker_id,
        speed=SPEED,
        random=Random(),  # noqa: S311  it spreads claims over time
    )
    running = asyncio.create_task(keeper.run(), name="keep pools")
    while len((await show_pool(worker.store, POOL, clock=worker.clock)).ready) < runs:  # noqa: ASYNC110  rows
        await asyncio.sleep(0.1)
    await asyncio.sleep(WAITS / SPEED)
    return keeper, running


async def _emptied(worker: Any, keeping: tuple[Any, asyncio.Task[None]]) -> None:
    from orchestrator.store import warm_sessions as warm_rows

    keeper, running = keeping
    await keeper.drain()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    while await worker.store.read(partial(warm_rows.list_kept, pool=POOL)):  # noqa: ASYNC110  rows
        await asyncio.sleep(0.1)


def _spec(runs: int) -> Any:
    """As many sessions as the batch has runs."""
    from orchestrator.domain.pool import PoolSpec
    from orchestrator.plans import plan_from_text

    return PoolSpec(
        name=POOL,
        agent=plan_from_text(plan_text(runs=1, sessions=1), name="bench").plan.agent,
        min_ready=runs,
        max_alive=runs,
        max_age=240.0,
        check_every=15.0,
        starts_per_minute=300.0,
        ready=120.0,
        run=900.0,
        timezone="UTC",
        hours=(),
    )


def _nobody(_before: object, _after: object) -> None:
    """Nobody listens: what is measured is the batch."""


def lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table, and what it comes to."""
    head = "sessions        runs  passed  start to submit, s (median, p95)  batch, s  idle, s (in the pool)"
    shown = [
        f"{'warm, from a pool' if row['pool'] else 'started for runs':17s} {row['runs']:4d}  {row['passed']:6d}  "
        f"{row['start_to_submit']['median']:14.2f} {row['start_to_submit']['p95']:12.2f}      "
        f"{row['batch_seconds']:8.1f}  {row['idle_seconds']:7.1f} ({row['idle_in_pool']:.1f})"
        for row in rows
    ]
    return [head, *shown, summary(rows)]


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a warm session saves a run, and what it costs, as a sentence."""
    cold, warm = sorted(rows, key=lambda row: row["pool"])
    saved = cold["start_to_submit"]["median"] - warm["start_to_submit"]["median"]
    each = warm["idle_in_pool"] / max(1, warm["served"])
    return (
        f"A warm session saves each run {saved:.1f} s of {cold['start_to_submit']['median']:.1f} s, and costs the "
        f"seconds it waits: here {each:.0f} for each of the {warm['served']} that served a run {WAITS:.0f} s after "
        f"the pool was full. ({SPEED:g} times faster than life.)"
    )


def main() -> None:
    """Measure, and print the table."""
    print("\n".join(lines(measure(quick="--quick" in sys.argv[1:]))))


if __name__ == "__main__":
    main()
