"""What the remotes were asked: requests by remote and operation, and how they grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

CLOUD: Final = frozenset(
    {
        *("start", "agent_list", "agent_get", "session_list", "session_get", "session_stop"),
        *("organizations", "daily_key", "runner_status"),
    }
)
CEKURA: Final = frozenset(
    {
        *("submit", "poll", "run_get", "end_call", "end_calls"),
        *("result_list", "result_get", "result_rename", "billing"),
    }
)
POLLS: Final = ("poll", "run_get", "result_get")
PRESENCE: Final = ("presence", "presence_all")


def remote_of(operation: str) -> str:
    """Whose operation it is, by the sandbox's name for it."""
    if operation in CLOUD:
        return "Pipecat Cloud"
    return "Cekura" if operation in CEKURA else "Daily"


def request_figures(history: Mapping[str, Any], *, seconds_in_all: float) -> dict[str, Any]:
    """Counts, and the rates that should not grow with the number of runs. Minutes are life's.

    `..._per_run_minute`: by the minutes that runs spent with Cekura, all added up. `..._per_minute`: by the batch's
    minutes; in a short batch more of them are its last calls, when no bot is awaited any more.
    """
    counts = Counter(history["requests"])
    by_remote: Counter[str] = Counter()
    for operation, count in counts.items():
        by_remote[remote_of(operation)] += count
    run_minutes = run_seconds(history) / 60
    minutes = seconds_in_all / 60
    polls, presence = (sum(counts[name] for name in names) for names in (POLLS, PRESENCE))
    return {
        "operations": dict(sorted(counts.items())),
        "remotes": dict(sorted(by_remote.items())),
        "total": counts.total(),
        "run_minutes": run_minutes,
        "minutes": minutes,
        "polls_per_run_minute": polls / run_minutes if run_minutes else 0.0,
        "polls_per_minute": polls / minutes,
        "presence_per_run_minute": presence / run_minutes if run_minutes else 0.0,
        "presence_per_minute": presence / minutes,
    }


def run_seconds(history: Mapping[str, Any]) -> float:
    """Seconds of life that runs spent with Cekura, from submission to verdict, all added up."""
    spent = [(run["judged_at"] or history["now"]) - run["submitted_at"] for run in history["runs"]]
    return float(history["speed"] * sum(spent))
