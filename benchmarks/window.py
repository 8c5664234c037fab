"""How many live sessions fit into the window that a signal leaves: the real command, at the remotes' own limits.

Run with `python -m benchmarks.window [SESSIONS ...]`. Nothing is hurried here: the sandbox keeps Daily's documented
limits, and the command keeps its own restraint where nobody publishes one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

from benchmarks.batch import plan_text
from benchmarks.sandbox import sandbox_process

SESSIONS: Final = (25, 50, 100, 150)
STARTS: Final = "starts_per_second: 50"


def measure(sessions: int) -> dict[str, Any]:
    """Start a batch of calls that never end, interrupt it when all are on, and see what its report says is left."""
    with (
        tempfile.TemporaryDirectory(prefix="orchestrator-bench-") as folder,
        sandbox_process(
            calls_limit=sessions, max_sessions=sessions, dispatch_per_second=50, call_seconds=(3600.0, 3600.0)
        ) as (url, environment),
    ):
        plan = Path(folder) / "plan.yaml"
        plan.write_text(plan_text(runs=sessions, sessions=sessions).replace("starts_per_second: 5", STARTS))
        command = [sys.executable, "-m", "orchestrator.cli", "run", str(plan), "--json", "--log-level", "ERROR"]
        with subprocess.Popen(
            command, cwd=folder, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            _wait_for_calls(url, sessions)
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            document = json.loads(process.communicate()[0])
            seconds = time.monotonic() - began
        world = _world(url)
    left = {item["id"] for item in document["teardown"]["left"] if item["what"] == "session"}
    return {
        "sessions": sessions,
        "seconds": seconds,
        "left": len(left),
        "alive": len(world["sessions"]["alive"]),
        "rooms": len(world["rooms"]["alive"]),
        "cut_short": len(world["cut_short"]),
    }


def _wait_for_calls(url: str, calls: int) -> None:
    while _world(url)["calls"]["active"] < calls:
        time.sleep(0.5)


def _world(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/world.json") as answer:  # noqa: S310  loopback
        world: dict[str, Any] = json.load(answer)
        return world


def report(numbers: tuple[int, ...] = SESSIONS) -> None:
    """Print a line for each size."""
    print("\n## What fits into the six seconds after SIGTERM, at life's own pace")
    print("sessions  exit after, s  left in the report  sessions alive  rooms alive  calls cut short")
    for number in numbers:
        found = measure(number)
        print(
            f"{found['sessions']:8d}  {found['seconds']:13.1f}  {found['left']:18d}  {found['alive']:14d}"
            f"  {found['rooms']:11d}  {found['cut_short']:15d}"
        )


if __name__ == "__main__":
    report(tuple(map(int, sys.argv[1:])) or SESSIONS)
