"""How long the command line takes to answer, and `run` to its first start call. Whole processes, real seconds.

Their CPU is kept as well: it says more than the seconds where other processes want the machine at the same time.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.batch import plan_text
from benchmarks.sandbox import running_sandbox

REPETITIONS: Final = 7
SPEED: Final = 50.0
COMMANDS: Final = {
    "`orchestrator --help`": ["-m", "orchestrator.cli.main", "--help"],
    "import of all that `run` needs": ["-c", "import orchestrator.app.graph"],
    "Python alone": ["-c", "pass"],
}


def measure(repetitions: int = REPETITIONS) -> Iterator[dict[str, Any]]:
    """One row for each command: median, shortest and longest of so many processes."""
    for name, arguments in COMMANDS.items():
        yield _row(name, repetitions, lambda arguments=arguments: _timed([sys.executable, *arguments]))
    yield _row("`orchestrator run`, until the first start call reached its remote", repetitions, first_start)


def _row(name: str, repetitions: int, look: Callable[[], tuple[float, float | None]]) -> dict[str, Any]:
    found = [look() for _ in range(repetitions)]
    seconds = [taken for taken, _ in found]
    cpu = [spent for _, spent in found if spent is not None]
    return {
        "name": name,
        "repetitions": repetitions,
        "median": statistics.median(seconds),
        "shortest": min(seconds),
        "longest": max(seconds),
        "cpu": statistics.median(cpu) if cpu else None,
    }


def _timed(command: list[str]) -> tuple[float, float]:
    """Seconds of a process, and of its CPU."""
    began, spent = time.monotonic(), _children_cpu()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began, _children_cpu() - spent


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def first_start() -> tuple[float, None]:
    """From the process of `run` to the sandbox seeing its first start: one run, the real command, a fresh state."""
    with (
        tempfile.TemporaryDirectory(prefix="orchestrator-bench-") as folder,
        running_sandbox(speed=SPEED, call_seconds=(20.0, 20.0)) as sandbox,
    ):
        plan = Path(folder) / "plan.yaml"
        plan.write_text(plan_text(runs=1, sessions=1))
        command = [sys.executable, "-m", "orchestrator.cli", "run", str(plan), "--json", "--time-scale", str(SPEED)]
        began = time.time()
        subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **sandbox.environment},
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return float(sandbox.history()["sessions"][0]["created_at"] - began), None
