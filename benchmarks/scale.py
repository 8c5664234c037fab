"""What one worker costs at up to 10,000 live runs: CPU per run, memory, lateness of its loop, requests, growth.

Run with `python -m benchmarks.scale [RUNS ...]`; `--profile FILE` draws a flame graph of the largest. The worker is a
process of its own, and so is the sandbox. Every duration and every interval of ours is life's own, but the remotes'
limits are lifted (`HURRY`): at Daily's 20 requests a second, ten thousand runs would need an hour to begin. Calls are
long enough that all runs are live together for PLATEAU seconds, and then end at the pace at which they began.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any, Final

from benchmarks import figures, flame
from benchmarks.batch import plan_text, state
from benchmarks.sandbox import sandbox_process

SIZES: Final = (1000, 5000, 10_000)
STARTS_PER_SECOND: Final = 80.0
HURRY: Final = 20.0  # the paces of our clients, and the sandbox's own limits, above what the remotes document
PLATEAU: Final = 40.0  # seconds during which all runs are live
ON_THE_WAY: Final = 40.0  # seconds from a start to its call at most: presence is up to 15 s old, and looked at every 15
PROBE_SECONDS: Final = 0.005
PHASES: Final = ("ramp-up", "steady", "ramp-down")
REMOTES: Final = {
    "start": "Pipecat Cloud",
    "session_list": "Pipecat Cloud",
    "session_get": "Pipecat Cloud",
    "session_stop": "Pipecat Cloud",
    "agent_get": "Pipecat Cloud",
    "submit": "Cekura",
    "poll": "Cekura",
}


class Ledger:
    """CPU, time and lateness by phase, as the committed steps of the runs tell where one phase ends."""

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._called: set[str] = set()
        self.phase = "before"
        self.cpu: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.late: dict[str, list[float]] = {phase: [] for phase in ("before", *PHASES, "after")}
        self._cpu, self._at = time.process_time(), time.monotonic()

    def hear(self, _before: Any, after: Any) -> None:
        """A committed step of one run."""
        if self.phase == "before":
            self.turn("ramp-up")
        if self.phase == "ramp-up" and after.status == "in_call":
            self._called.add(after.run_id)
            if len(self._called) == self._runs:
                self.turn("steady")
        elif self.phase in {"ramp-up", "steady"} and after.status == "call_ended":
            self.turn("ramp-down")

    def turn(self, phase: str) -> None:
        """Book what was spent since the last turn on the phase that ends."""
        cpu, at = time.process_time(), time.monotonic()
        self.cpu[self.phase] += cpu - self._cpu
        self.seconds[self.phase] += at - self._at
        self._cpu, self._at, self.phase = cpu, at, phase

    async def probe(self) -> None:
        """Note how late the loop wakes who sleeps PROBE_SECONDS."""
        while True:
            due = time.monotonic() + PROBE_SECONDS
            await asyncio.sleep(PROBE_SECONDS)
            self.late[self.phase].append(time.monotonic() - due)


async def probe_cost() -> float:
    """CPU seconds that the probe itself takes per look, on an idle loop."""
    ledger = Ledger(0)
    began = time.process_time()
    probing = asyncio.create_task(ledger.probe())
    await asyncio.sleep(2.0)
    probing.cancel()
    return (time.process_time() - began) / max(1, len(ledger.late["before"]))


def loaded_plan(runs: int) -> Any:
    """The usual plan with N for every limit, which no plan file may ask for."""
    from orchestrator.plans import plan_from_text
    from orchestrator.plans.document import plan_document

    loaded = plan_from_text(plan_text(runs=runs, sessions=min(runs, 1000)), name="scale")
    limits = replace(loaded.plan.limits, concurrency=runs, calls=runs, starts_per_second=STARTS_PER_SECOND)
    timeouts = replace(loaded.plan.timeouts, run=14_400.0)
    plan = replace(loaded.plan, limits=limits, timeouts=timeouts)
    return replace(loaded, plan=plan, document=plan_document(plan))


async def drive(environ: dict[str, str], runs: int) -> dict[str, Any]:
    """One batch in this process, everything imported before the clock starts."""
    import aiohttp

    from orchestrator.app import graph
    from orchestrator.app.batches import create_batch, run_batch, view_batch
    from orchestrator.settings import load_settings

    imported = {
        "cpu": time.process_time(),
        "megabytes": peak_megabytes(),
        "late": [aiohttp.__name__],
    }
    lifted = partial(_hurried, graph.open_remotes)
    graph.open_remotes = lifted
    each = await probe_cost()
    loaded, ledger = loaded_plan(runs), Ledger(runs)
    async with graph.open_worker(load_settings(environ), command="bench", environ={}, listener=ledger.hear) as worker:
        batch = await create_batch(worker, loaded)
        probing = asyncio.create_task(ledger.probe())
        await run_batch(worker, batch.batch_id)
        ledger.turn("after")
        probing.cancel()
        peak = peak_megabytes()
        view = await view_batch(worker.store, batch.batch_id)
    return {
        **counted(ledger, runs, each),
        "imported": imported,
        "peak_megabytes": peak,
        "outcome": str(view.batch.outcome),
    }


def _hurried(open_remotes: Any, settings: Any, *, clock: Any, speed: float, **others: Any) -> Any:
    return open_remotes(settings, clock=clock, speed=speed * HURRY, **others)


def counted(ledger: Ledger, runs: int, each: float) -> dict[str, Any]:
    """What was counted, the probe's own CPU taken off."""
    by_phase = {
        phase: {
            "cpu_ms_per_run": 1000 * (ledger.cpu[phase] - each * len(ledger.late[phase])) / runs,
            "seconds": ledger.seconds[phase],
            "late_ms": quantiles([1000 * late for late in ledger.late[phase]]),
        }
        for phase in PHASES
    }
    steady = by_phase["steady"]
    minutes = steady["seconds"] / 60
    return {
        "runs": runs,
        "all_live": steady["seconds"] > 0,
        "cpu_ms_per_run": sum(phase["cpu_ms_per_run"] for phase in by_phase.values()),
        "cpu_ms_per_run_minute": steady["cpu_ms_per_run"] / minutes if minutes else None,
        "late_ms": quantiles([1000 * late for phase in PHASES for late in ledger.late[phase]]),
        "phases": by_phase,
        "before": {"cpu": ledger.cpu["before"], "seconds": ledger.seconds["before"]},
        "probe_ms": 1000 * each,
    }


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile and maximum."""
    ordered = sorted(values) or [0.0]
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in at.items()}


def peak_megabytes() -> float:
    """The most memory this process held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(runs: int, *, profile: Path | None = None) -> dict[str, Any]:
    """A sandbox, a worker, and what the world saw of them."""
    with sandbox(runs) as (url, environment), state() as database:
        command = [sys.executable, "-m", "benchmarks.scale", "--worker", str(runs)]
        environ = {**os.environ, **environment, "ORCHESTRATOR_DATABASE_URL": database}
        ran = subprocess.run(_watched(command, profile), env=environ, check=True, stdout=subprocess.PIPE, text=True)
        found: dict[str, Any] = json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("{")))
        with urllib.request.urlopen(f"{url}/world.json") as answer:  # noqa: S310  loopback
            world = json.load(answer)
    if profile is not None:
        stacks = _stacks(profile).read_text(encoding="utf-8").splitlines()
        profile.write_text(flame.draw(f"{runs} runs", stacks), encoding="utf-8")
        _stacks(profile).unlink()
    found["requests"] = {name: count / runs for name, count in sorted(world["requests"].items())}
    found["left"] = len(world["sessions"]["alive"]) + len(world["rooms"]["alive"])
    found["wrong"] = len(world["submitted_twice"]) + len(world["cut_short"])
    found["peak_live"] = world["calls"]["peak"]
    return found


@contextmanager
def sandbox(runs: int) -> Iterator[tuple[str, dict[str, str]]]:
    """One whose limits are no limits, and whose calls last until the last has begun, and PLATEAU longer."""
    call = runs / STARTS_PER_SECOND + ON_THE_WAY + PLATEAU
    with sandbox_process(
        calls_limit=runs,
        max_sessions=runs,
        dispatch_per_second=1000.0,
        call_seconds=(call, call),
        idle_timeout=36_000.0,
        max_session_seconds=36_000.0,
        daily_requests=(int(100 * HURRY), 5.0),
        daily_deletes=(int(50 * HURRY), 30.0),
    ) as told:
        yield told


def _watched(command: list[str], profile: Path | None) -> list[str]:
    """The same command; where a flame graph is wanted, what holds the interpreter is sampled 200 times a second."""
    if profile is None:
        return command
    spy = str(Path(sys.executable).parent / "py-spy")
    sampling = ["--rate", "200", "--gil", "--function", "--format", "raw", "--output", str(_stacks(profile))]
    return [spy, "record", *sampling, "--", *command]


def _stacks(profile: Path) -> Path:
    return profile.with_suffix(".stacks")


def report(found: Sequence[dict[str, Any]]) -> None:
    """Tables: cost and memory by size, lateness by phase, requests by remote, and how all of it grows."""
    print("\nlive runs  CPU ms/run: all  ramp-up  steady  ramp-down  ms/run-minute  peak MB (imports)  left  wrong")
    for one in found:
        phases = [one["phases"][phase]["cpu_ms_per_run"] for phase in PHASES]
        print(
            f"{one['runs']:9d}  {one['cpu_ms_per_run']:15.2f}  {phases[0]:7.2f}  {phases[1]:6.2f}  {phases[2]:9.2f}"
            f"  {one['cpu_ms_per_run_minute'] or 0:13.2f}  {one['peak_megabytes']:7.0f}"
            f" ({one['imported']['megabytes']:.0f})  {one['left']:12d}  {one['wrong']:5d}"
        )
    report_lateness(found)
    report_requests(found)
    report_growth(found)


def report_lateness(found: Sequence[dict[str, Any]]) -> None:
    """How late the loop was, in milliseconds."""
    print("\nlive runs  phase      late p50 ms     p99     max")
    for one in found:
        for phase in PHASES:
            late = one["phases"][phase]["late_ms"]
            print(f"{one['runs']:9d}  {phase:9s}  {late['p50']:11.1f}  {late['p99']:6.1f}  {late['max']:6.1f}")


def report_requests(found: Sequence[dict[str, Any]]) -> None:
    """Requests per run."""
    names = sorted({name for one in found for name in one["requests"]}, key=lambda name: (remote_of(name), name))
    print("\nrequests per run" + "".join(f"{one['runs']:>12d}" for one in found))
    for name in names:
        counts = "".join(f"{one['requests'].get(name, 0.0):12.3f}" for one in found)
        print(f"  {remote_of(name):13s} {name:14s}{counts}"[: 32 + 12 * len(found)])
    print("  all of them".ljust(30) + "".join(f"{sum(one['requests'].values()):12.3f}" for one in found))


def remote_of(operation: str) -> str:
    """Whose request the sandbox counts under this name."""
    return REMOTES.get(operation, "Daily")


def report_growth(found: Sequence[dict[str, Any]]) -> None:
    """Between two sizes: what one more run costs, and the exponent of the growth (1 is linear)."""
    for small, large in pairwise(found):
        cpu = [one["cpu_ms_per_run"] * one["runs"] for one in (small, large)]
        more = large["runs"] - small["runs"]
        memory = 1024 * (large["peak_megabytes"] - small["peak_megabytes"]) / more
        exponent = log(cpu[1] / cpu[0]) / log(large["runs"] / small["runs"])
        print(
            f"\nfrom {small['runs']} to {large['runs']}: {(cpu[1] - cpu[0]) / more:.2f} ms CPU"
            f" and {memory:.1f} kB a run more; CPU grows with the power {exponent:.2f} of N",
            end="",
        )
    print()


def main() -> None:
    """Measure each size, print the tables, write scale.json."""
    asked = argparse.ArgumentParser(prog="benchmarks.scale")
    asked.add_argument("sizes", nargs="*", type=int, default=SIZES)
    asked.add_argument("--worker", type=int)
    asked.add_argument("--profile", type=Path)
    asked.add_argument("--json", type=Path, default=Path("scale.json"))
    given = asked.parse_args()
    if given.worker:
        print(json.dumps(asyncio.run(drive(dict(os.environ), given.worker))))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}", flush=True)
    sizes = sorted(given.sizes)
    found = [measure(runs, profile=given.profile if runs == sizes[-1] else None) for runs in sizes]
    figures.save(given.json.stem, found, folder=given.json.parent)
    report(found)


if __name__ == "__main__":
    main()
