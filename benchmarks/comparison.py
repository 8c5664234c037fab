"""One batch of one client against one sandbox, measured: time beside its bound, idle seconds by cause, requests.

Every client gets the same sandbox (its defaults: the usual proportions), the same number of runs and the same limits,
and runs in a process of its own. All seconds in a row are seconds of life.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from benchmarks import bound, idle
from benchmarks.remote_requests import request_figures
from benchmarks.sandbox import RunningSandbox, running_sandbox

SPEEDS: Final[Mapping[int, float]] = {10: 50.0, 50: 20.0, 200: 8.0}
BUDGETS: Final = (10, 50, 200)
RULES: Final = ("judged", "call_ended")
FEW, MANY = 200, 1000
OURS: Final = "orchestrator"
CLIENTS: Final = (OURS, "guide", "per_run", "sdks")
GRACE_SECONDS: Final = 2.0  # the plan's default from call end to teardown
LONGEST_SECONDS: Final = 3600.0  # real ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is measured: who, how many runs, the sandbox's limit of calls and slot rule, its seed and speed.

    `variant` is what the plan prefers (ours), or which limit the semaphore takes (`per_run`, `sdks`).
    """

    client: str
    variant: str
    runs: int
    calls: int
    slot_rule: str
    speed: float
    seed: int = 0

    @property
    def sessions(self) -> int:
        """The session limit: twice the calls, but all runs for the guide, which starts them all."""
        return self.runs if self.client == "guide" else 2 * self.calls

    @property
    def sandbox(self) -> dict[str, Any]:
        """The sandbox's settings."""
        return {
            "speed": self.speed,
            "seed": self.seed,
            "calls_limit": self.calls,
            "slot_rule": self.slot_rule,
            "max_sessions": self.sessions,
        }

    @property
    def command(self) -> list[str]:
        """The client's process."""
        settings: dict[str, Any] = {"runs": self.runs, "speed": self.speed}
        if self.client == OURS:
            settings |= {"sessions": self.sessions, "calls": self.calls, "prefer": self.variant}
            return [sys.executable, "-m", "benchmarks.batch", json.dumps(settings)]
        settings["at_once"] = self.calls if self.variant == "calls" else self.sessions
        return [sys.executable, "-m", f"benchmarks.peers.{self.client}", json.dumps(settings)]


KEY: Final = tuple(Case.__dataclass_fields__)


def measure(case: Case) -> dict[str, Any]:
    """Run one case to its end; what came of it."""
    with running_sandbox(**case.sandbox) as sandbox:
        before, load = sandbox.cpu_seconds(), os.getloadavg()[0]
        began = time.monotonic()
        ran = subprocess.run(
            case.command,
            env={**os.environ, **sandbox.environment},
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
        if ran.returncode:
            raise RuntimeError(f"{case.client} ended with {ran.returncode}: {ran.stderr[-2000:]}")
        share = (sandbox.cpu_seconds() - before) / (time.monotonic() - began)
        return {**row(case, json.loads(ran.stdout), sandbox), "sandbox_cpu": share, "load": load}


def row(case: Case, view: Mapping[str, Any], sandbox: RunningSandbox) -> dict[str, Any]:
    """The figures of one case, from the client's own view and the sandbox's history."""
    world, history = sandbox.world(), sandbox.history()
    parts = idle.split(history, view.get("ready"))
    seconds = case.speed * (view["judged"] - view["began"])
    bounds = _bounds(case, view, history)
    return {
        **asdict(case),
        "verdicts": view["verdicts"],
        "passed": view["verdicts"].get("passed", 0),
        "seconds": seconds,
        "seconds_to_end": case.speed * (view["ended"] - view["began"]),
        "bounds": bounds,
        "ratio": seconds / bounds["same_order"],
        "calls_made": len(idle.call_lengths(history)),
        "call_seconds": sum(idle.call_lengths(history)),
        "poll_interval": view["poll_interval"],
        "paid_seconds": idle.paid_seconds(history),
        "idle_seconds": idle.idle_seconds(history),
        "parts": parts,
        "difference": idle.idle_seconds(history) - sum(parts.values()),
        "lags": {
            **idle.teardown_lags(history),
            "limited": idle.limited_lags(history, patience=view["poll_interval"] + GRACE_SECONDS),
        },
        "requests": request_figures(history, seconds_in_all=case.speed * (view["ended"] - view["began"])),
        "client_cpu": view["cpu_seconds"] / (view["ended"] - view["began"]),
        "client_cpu_seconds": view["cpu_seconds"],
        "peak_calls": world["calls"]["peak"],
        "peak_sessions": world["calls"]["peak_alive_sessions"],
        "wrong": {
            "sessions_alive": len(world["sessions"]["alive"]),
            "rooms_alive": len(world["rooms"]["alive"]),
            "submitted_twice": len(world["submitted_twice"]),
            "cut_short": len(world["cut_short"]),
        },
    }


def _bounds(case: Case, view: Mapping[str, Any], history: Mapping[str, Any]) -> dict[str, float]:
    """The bound, and its kin: with the tester's way (which the remotes take), other orders."""
    lengths = idle.call_lengths(history)
    begins = [run["call_began_at"] for run in history["runs"] if run["call_began_at"] is not None]
    rules = bound.Rules(calls=case.calls, slot_rule=case.slot_rule)
    asked = {
        "first_call": case.speed * (min(begins, default=view["began"]) - view["began"]),
        "poll_interval": view["poll_interval"],
    }
    return {
        "first_call": asked["first_call"],
        "same_order": bound.bound(lengths, rules, **asked),
        "with_testers_way": bound.bound(lengths, replace(rules, tester_seconds=1.0), **asked),
        "longest_first": bound.longest_first(lengths, rules, **asked),
        "floor": bound.optimum_floor(lengths, rules, **asked),
    }


def all_cases() -> Iterator[Case]:
    """The whole comparison, short ones first."""
    for runs in (FEW, MANY):
        for calls in BUDGETS:
            for slot_rule in RULES:
                common = {"runs": runs, "calls": calls, "slot_rule": slot_rule, "speed": SPEEDS[calls]}
                yield from _ours(common)
                yield from _peers(common)


def _ours(common: dict[str, Any]) -> Iterator[Case]:
    """Balanced everywhere, two seeds where it is quick; the other preferences where the frontier is drawn."""
    few = common["runs"] == FEW
    for seed in (0, 1) if few else (0,):
        yield Case(client=OURS, variant="balanced", seed=seed, **common)
    if few and common["calls"] < BUDGETS[-1]:
        for variant in ("cost", "time"):
            yield Case(client=OURS, variant=variant, **common)


def _peers(common: dict[str, Any]) -> Iterator[Case]:
    """Many runs once, at the budget in the middle; the slot rule hardly matters to who starts everything at once."""
    if common["runs"] == MANY and (common["calls"] != BUDGETS[1] or common["slot_rule"] != RULES[0]):
        return
    yield Case(client="per_run", variant="sessions", **common)
    yield Case(client="per_run", variant="calls", **common)
    if common["slot_rule"] == RULES[0]:
        yield Case(client="guide", variant="all", **common)
        yield Case(client="sdks", variant="calls", **common)


def quick_cases() -> Iterator[Case]:
    """Every client once, as small as can be: does it work, not how fast."""
    common = {"runs": 12, "calls": 6, "slot_rule": "judged", "speed": 60.0}
    yield Case(client=OURS, variant="balanced", **common)
    yield from _peers(common)


def describe(found: Mapping[str, Any]) -> str:
    """One line on one row, while it is measured."""
    return (
        f"{found['client']:12s} {found['variant']:8s} {found['runs']:5d} runs {found['calls']:4d} calls"
        f" {found['slot_rule']:10s} x{found['speed']:g}: {found['ratio']:.2f} of the bound,"
        f" {found['idle_seconds'] / found['runs']:6.1f} s idle a run, passed {found['passed']}/{found['runs']},"
        f" CPU {100 * found['client_cpu']:.0f} % and {100 * found['sandbox_cpu']:.0f} %"
    )


def wanted(cases: Iterator[Case], only: Mapping[str, Sequence[Any]]) -> list[Case]:
    """The cases that fit every restriction given: by client, runs, calls, slot_rule, variant."""
    return [case for case in cases if all(not values or getattr(case, name) in values for name, values in only.items())]
