"""What several workers on one PostgreSQL bring: `python -m benchmarks.workers [--quick]`.

How long a batch stands still whose worker was killed, and how much sooner a load is done by two workers than by one.
Real processes of `orchestrator serve`, and real seconds: leases run in those, whatever the speed of the sandbox.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.sandbox import RunningSandbox, running_sandbox
from tests.support.fleet import LEASE, Fleet
from tests.support.postgres import PostgresServer

SPEED: Final = 20.0
DEFAULT_LEASE: Final = 10.0  # of the settings
KILLS: Final = {LEASE: 6, DEFAULT_LEASE: 3}  # by lease, seconds
REPETITIONS: Final = 3  # of each load, by turns
TEAMS: Final = (1, 2)
BATCHES: Final = 8
RUNS: Final = 4  # of each batch
AT_ONCE: Final = 2  # batches for which a worker has room
LIMIT: Final = 300.0  # seconds until all is done


def measure(*, quick: bool = False) -> list[dict[str, Any]]:
    """One row for each lease, `takeover`, and one for each size of the team, `load`."""
    kills = {LEASE: 1} if quick else KILLS
    takeovers = [asyncio.run(takeover(lease, count)) for lease, count in kills.items()]
    return [*takeovers, *asyncio.run(loads(1 if quick else REPETITIONS))]


async def takeover(lease: float, kills: int) -> dict[str, Any]:
    """Kill the worker that drives a batch, so many times; from each blow until another drives that batch."""
    async with _fleet(lease, call_seconds=(80.0, 160.0)) as (fleet, start, sandbox):
        start()
        seconds, batch_ids = [], []
        for number in range(kills):
            start()
            await fleet.until(partial(_alive, fleet, 2))
            batch_ids.append(await fleet.create(runs=RUNS, concurrency=RUNS, name=f"taken-over-{number}"))
            seconds.append(await _killed(fleet, batch_ids[-1]))
        await fleet.until(partial(fleet.all_closed, batch_ids), limit=LIMIT)
        row = {"kind": "takeover", "lease": lease, "kills": kills, "median": statistics.median(seconds)}
        row |= {"shortest": min(seconds), "longest": max(seconds)}
        return row | await _came_to(fleet, batch_ids, sandbox)


async def _killed(fleet: Any, batch_id: str) -> float:
    await fleet.until(partial(fleet.in_call, batch_id))
    victim = await fleet.owner_of(batch_id)
    (await fleet.process_of(victim)).kill()
    began = time.monotonic()
    await fleet.until(partial(_taken_from, fleet, batch_id, victim))
    return time.monotonic() - began


async def loads(repetitions: int) -> list[dict[str, Any]]:
    """The same load for each team, by turns, so that the ratio is one of the same minutes."""
    found: dict[int, list[dict[str, Any]]] = {team: [] for team in TEAMS}
    for _ in range(repetitions):
        for team in TEAMS:
            found[team].append(await load(team))
    return [_together(team, rows) for team, rows in found.items()]


def _together(team: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    seconds = [row["seconds"] for row in rows]
    row = {"kind": "load", "workers": team, "batches": BATCHES, "repetitions": len(rows)}
    row |= {"median": statistics.median(seconds), "shortest": min(seconds), "longest": max(seconds)}
    return row | {name: sum(one[name] for one in rows) for name in ("runs", "passed", "alive", "submitted_twice")}


async def load(team: int) -> dict[str, Any]:
    """BATCHES batches at once for so many workers; each has room for AT_ONCE of them."""
    async with _fleet(DEFAULT_LEASE, call_seconds=(60.0, 60.0)) as (fleet, start, sandbox):
        for _ in range(team):
            start(ORCHESTRATOR_BATCHES_AT_ONCE=str(AT_ONCE))
        await fleet.until(partial(_alive, fleet, team))
        began = time.monotonic()
        batch_ids = [await fleet.create(runs=RUNS, concurrency=RUNS, name=f"load-{n}") for n in range(BATCHES)]
        await fleet.until(partial(fleet.all_closed, batch_ids), limit=LIMIT)
        return {"seconds": time.monotonic() - began} | await _came_to(fleet, batch_ids, sandbox)


async def _came_to(fleet: Any, batch_ids: Sequence[str], sandbox: RunningSandbox) -> dict[str, Any]:
    """How the runs ended, and what the world says was left or paid twice."""
    runs = [run for batch_id in batch_ids for run in (await fleet.view(batch_id)).runs]
    world = sandbox.world()
    return {
        "runs": len(runs),
        "passed": sum(run.outcome == "passed" for run in runs),
        "alive": len(world["sessions"]["alive"]) + len(world["rooms"]["alive"]),
        "submitted_twice": len(world["submitted_twice"]),
    }


@asynccontextmanager
async def _fleet(lease: float, **sandbox_settings: Any) -> AsyncIterator[tuple[Any, Any, RunningSandbox]]:
    """A fleet, what starts one worker more, and the sandbox; all gone afterwards."""
    with (
        running_sandbox(speed=SPEED, connect_timeout=6000.0, calls_limit=50, **sandbox_settings) as sandbox,
        _database() as url,
        tempfile.TemporaryDirectory(prefix="orchestrator-bench-") as folder,
    ):
        fleet = Fleet(url=url, environment=sandbox.environment, folder=Path(folder), speed=SPEED)
        try:
            yield fleet, partial(fleet.start, ORCHESTRATOR_LEASE_SECONDS=f"{lease:g}"), sandbox
        finally:
            fleet.close()


@contextmanager
def _database() -> Iterator[str]:
    """A PostgreSQL of its own that keeps what it committed, as one in life does."""
    server = PostgresServer(durable=True)
    try:
        server.start()
        yield server.create()
        server.stop()
    finally:
        server.remove()


async def _alive(fleet: Any, count: int) -> bool:
    return len(await fleet.living()) >= count


async def _taken_from(fleet: Any, batch_id: str, worker_id: str) -> bool:
    return await fleet.owner_of(batch_id) not in {None, worker_id}


def ratio(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """How many times sooner the largest team was done than one worker; None where it was not measured."""
    medians = {row["workers"]: row["median"] for row in rows if row["kind"] == "load"}
    return medians[min(medians)] / medians[max(medians)] if len(medians) > 1 else None


def lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each row as a line, and what the second worker brought."""
    named = {
        "takeover": "lease {lease:g} s, killed {kills} times: another went on after {median:.1f} s",
        "load": f"workers: {{workers}}; {{batches}} batches of {RUNS} runs, {AT_ONCE} each at once: {{median:.1f}} s",
    }
    tail = " (median; {shortest:.1f} to {longest:.1f}); {passed} of {runs} passed, {alive} left alive"
    shown = [(named[row["kind"]] + tail).format(**row) for row in rows]
    return [*shown, f"two workers were done {ratio(rows) or 0:.2f} times as soon as one"]


def main() -> None:
    """Measure, and print a line for each row."""
    print("\n".join(lines(measure(quick="--quick" in sys.argv[1:]))))


if __name__ == "__main__":
    main()
