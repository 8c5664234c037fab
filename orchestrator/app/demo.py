"""The demo's script: which plan is played, what the sandbox is told to do wrong, and how it must end."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

from orchestrator.plans import LoadedPlan, plan_from_text

FAULTS: Final = ("call.fails_evaluation=1", "bot.never_joins=1")
Json = Mapping[str, Any]


def demo_text() -> str:
    """The packaged plan; config/demo.yaml is the same file for readers."""
    return files("orchestrator.app").joinpath("demo.yaml").read_text(encoding="utf-8")


def demo_plan() -> LoadedPlan:
    """The packaged plan, checked like any other."""
    return plan_from_text(demo_text(), name="demo")


def differences(document: Json, world: Json) -> list[str]:
    """What did not end as scripted: one failed run, one retried, all others passed, and nothing left in the world."""
    runs = document["runs"]
    expected: dict[str, tuple[Any, Any]] = {
        "runs that failed their evaluation": (1, len(failed(document))),
        "runs tried again with a new session": (1, len(retried(document))),
        "runs that passed": (len(runs) - 1, document["totals"]["passed"]),
        "ends of sessions and rooms left or unconfirmed": (0, _unconfirmed(document["teardown"])),
        "sessions left in the sandbox": (0, len(world["sessions"]["alive"])),
        "rooms left in the sandbox": (0, len(world["rooms"]["alive"])),
        "rooms submitted twice": (0, len(world["submitted_twice"])),
        "calls cut short": (0, len(world["cut_short"])),
        "calls": (len(runs), world["calls"]["total"]),
        "faults that did not strike": (0, len(world["faults_armed"])),
    }
    return [f"{what}: {was}, scripted {meant}" for what, (meant, was) in expected.items() if was != meant]


def failed(document: Json) -> list[Json]:
    """The runs that failed."""
    return [run for run in document["runs"] if run["outcome"] == "failed"]


def retried(document: Json) -> list[Json]:
    """The runs that needed more than one session."""
    return [run for run in document["runs"] if run["attempts"] > 1]


def _unconfirmed(teardown: Json) -> int:
    return len(teardown["bounded"]) + len(teardown["left"])
