"""`make bench`, or one part of it: `python -m benchmarks [PART] [--quick]`; `--help` names the parts."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from benchmarks import comparison, figures, limits, lists, pools, render, startup, window, workers

QUICK_FOLDER: Final = figures.ROOT / "benchmarks" / "out" / "quick"
SIZES: Final = (50, 200, 1000)
BUDGET: Final = 50


def compare(asked: argparse.Namespace) -> bool:
    """The batch comparison; False where a case could not be measured."""
    cases = comparison.quick_cases() if asked.quick else comparison.all_cases()
    only = {name: getattr(asked, name) for name in ("client", "variant", "runs", "calls", "slot_rule")}
    return _measure("compare", comparison.wanted(cases, only), asked.folder)


def requests(asked: argparse.Namespace) -> bool:
    """What the remotes are asked as N grows."""
    sizes, speed = ((6, 12), 60.0) if asked.quick else (SIZES, comparison.SPEEDS[BUDGET])
    calls = sizes[0] if asked.quick else BUDGET
    common = {"client": comparison.OURS, "variant": "balanced", "calls": calls, "slot_rule": "judged", "speed": speed}
    return _measure("requests", [comparison.Case(runs=runs, **common) for runs in sizes], asked.folder)


def _measure(part: str, cases: Iterable[comparison.Case], folder: Path) -> bool:
    """Measure one case after the other and keep each at once, so that an end halfway loses nothing."""
    good = True
    for case in cases:
        try:
            row = comparison.measure(case)
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            good = False
            print(f"{case}: {error}", file=sys.stderr, flush=True)
        else:
            figures.add(part, row, key=comparison.KEY, folder=folder)
            print(comparison.describe(row), flush=True)
    return good


def start_up(asked: argparse.Namespace) -> bool:
    """Start-up times."""
    rows = list(startup.measure(1 if asked.quick else startup.REPETITIONS))
    return _keep("startup", rows, asked.folder)


def signals(asked: argparse.Namespace) -> bool:
    """What fits into the time after SIGTERM."""
    sizes = (3,) if asked.quick else window.SESSIONS
    return _keep("window", [window.measure(sessions) for sessions in sizes], asked.folder)


def least(asked: argparse.Namespace) -> bool:
    """What a run's requests and rows cost by themselves."""
    return _keep("limits", limits.measure(), asked.folder)


def history(asked: argparse.Namespace) -> bool:
    """What each list costs as history grows."""
    return _keep("lists", lists.measure((100, 1000) if asked.quick else lists.SIZES), asked.folder)


def warm(asked: argparse.Namespace) -> bool:
    """What a pool of warm sessions saves and costs."""
    return _keep("pools", pools.measure(quick=asked.quick), asked.folder)


def several(asked: argparse.Namespace) -> bool:
    """How soon a dead worker's batch is taken over, and what a second worker carries."""
    return _keep("workers", workers.measure(quick=asked.quick), asked.folder)


def _keep(part: str, rows: list[dict[str, Any]], folder: Path) -> bool:
    figures.save(part, rows, folder=folder)
    for row in rows:
        print(row, flush=True)
    return True


def scale(asked: argparse.Namespace) -> bool:
    """CPU, memory and event-loop lag at many live runs: a module of its own, which writes scale.json."""
    asked.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.scale", "--json", str(asked.folder / "scale.json")]
    return subprocess.run([*command, *(["20"] if asked.quick else [])], check=False).returncode == 0


def page(asked: argparse.Namespace) -> bool:
    """Write the document from what was kept."""
    print(render.render(asked.folder))
    return True


PARTS: Final = {
    "startup": start_up,
    "requests": requests,
    "compare": compare,
    "window": signals,
    "scale": scale,
    "limits": least,
    "lists": history,
    "pools": warm,
    "workers": several,
    "render": page,
}


def main(arguments: list[str] | None = None) -> int:
    """One part, or all of them and then the page; 1 where something could not be measured."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("part", nargs="?", choices=PARTS, help="absent: all of them, and then the page")
    parser.add_argument("--quick", action="store_true", help="small and short: does it work, not how fast")
    parser.add_argument("--folder", type=Path, help=f"where figures are kept (default {figures.FOLDER})")
    for name, kind in (("client", str), ("variant", str), ("runs", int), ("calls", int), ("slot-rule", str)):
        parser.add_argument(f"--{name}", type=kind, nargs="+", default=[], help="compare: only these")
    asked = parser.parse_args(arguments)
    asked.folder = asked.folder or (QUICK_FOLDER if asked.quick else figures.FOLDER)
    chosen = [asked.part] if asked.part else list(PARTS)
    measured = [PARTS[part](asked) for part in chosen]  # each is tried, whatever became of the one before
    return 0 if all(measured) else 1


if __name__ == "__main__":
    sys.exit(main())
