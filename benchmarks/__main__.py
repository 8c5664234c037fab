"""`make bench`: start-up times, a batch of 200 runs at 50 sessions, and how much fits into the time after SIGTERM."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import urllib.request
from typing import Any, Final

from benchmarks import window
from benchmarks.sandbox import sandbox_process

STARTS: Final = 7
IMPORTS: Final = {
    "orchestrator --help": ["-m", "orchestrator.cli.main", "--help"],
    "import orchestrator.app.graph (all that `run` needs but DBOS)": ["-c", "import orchestrator.app.graph"],
    "import dbos": ["-c", "import dbos"],
    "python alone": ["-c", "pass"],
}
RUNS, SESSIONS, SPEED = 200, 50, 20.0


def start_up() -> None:
    """Wall time of whole processes."""
    print("## Start-up (median of whole processes, seconds)")
    for name, arguments in IMPORTS.items():
        seconds = [_timed([sys.executable, *arguments]) for _ in range(STARTS)]
        print(f"{statistics.median(seconds):7.3f}  {name}")


def _timed(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def whole_batch() -> None:
    """A batch in its own process, the sandbox in another."""
    print(f"\n## {RUNS} runs at {SESSIONS} sessions, one process, sandbox and plan {SPEED:g} times faster than life")
    with sandbox_process(speed=SPEED, calls_limit=SESSIONS, max_sessions=SESSIONS) as (url, environment):
        command = [sys.executable, "-m", "benchmarks.batch", str(RUNS), str(SESSIONS), str(SPEED)]
        ran = subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, text=True)
        figures = json.loads(ran.stdout)
        with urllib.request.urlopen(f"{url}/world.json") as answer:  # noqa: S310  loopback
            world = json.load(answer)
    report(figures, world)


def report(figures: dict[str, Any], world: dict[str, Any]) -> None:
    """Print the figures beside what the world saw."""
    from orchestrator.clients.cekura import CekuraClient

    polls = world["requests"].get("poll", 0)
    bound = math.ceil(SESSIONS / CekuraClient.ids_per_request) * figures["intervals"]
    requests = sum(world["requests"].values())
    print(f"outcome {figures['outcome']}, torn down {figures['torn_down']}, {figures['seconds']:.1f} s")
    print(f"left alive: {len(world['sessions']['alive'])} sessions, {len(world['rooms']['alive'])} rooms")
    print(f"rooms submitted twice: {len(world['submitted_twice'])}, calls cut short: {len(world['cut_short'])}")
    print(f"bulk polls {polls}; (ids / ids per URL, up) x intervals elapsed = {bound}; ratio {polls / bound:.2f}")
    print(f"requests {requests} ({requests / RUNS:.1f} a run): {json.dumps(world['requests'])}")
    print(f"CPU {1000 * figures['cpu_seconds'] / RUNS:.1f} ms a run; peak memory {figures['peak_megabytes']:.0f} MB")
    idle, paid = world["idle_seconds"], world["paid_seconds"]
    print(f"session seconds paid {paid:.0f}, outside a call {idle:.0f} ({100 * idle / paid:.0f} %), in life's seconds")


if __name__ == "__main__":
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    start_up()
    whole_batch()
    window.report()
