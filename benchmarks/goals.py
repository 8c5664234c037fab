"""What is judged: each goal, what was measured, and whether it was reached. Everything else is only printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from benchmarks import idle, service
from benchmarks.comparison import GRACE_SECONDS, OURS
from benchmarks.lists import MOST
from benchmarks.workers import ratio

RATIO: Final = 1.10
SHARE_OF_CALL: Final = 0.05
OF_GUIDE: Final = 0.15
OF_PER_RUN: Final = 0.5
ENOUGH_RUNS: Final = 4  # times the call budget
FLAT: Final = 1.25
NOISE: Final = 1.05  # between two that both keep every call slot taken
CPU_MS: Final = 2.0
MEGABYTES: Final = 250.0
LATE_MS: Final = 50.0
MANY_LIVE: Final = 10_000
LATE_AT: Final = 5_000

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One goal and how it came out; `reached` is None where it was not measured."""

    figure: str
    goal: str
    found: str
    reached: bool | None


def per_run(row: Row, seconds: float) -> float:
    """Seconds by the number of runs."""
    return seconds / float(row["runs"])


def ours(row: Row) -> float:
    """Idle seconds per run that we could have avoided."""
    return per_run(row, sum(row["parts"][name] for name in idle.OURS))


def allowed(row: Row) -> float:
    """What of those is allowed: a share of the calls, and half a poll interval."""
    return SHARE_OF_CALL * per_run(row, row["call_seconds"]) + row["poll_interval"] / 2


def groups(rows: Iterable[Row], *, client: str, variant: str) -> dict[tuple[int, int, str], list[Row]]:
    """The rows of one client, by runs, calls and slot rule: repetitions together."""
    found: dict[tuple[int, int, str], list[Row]] = {}
    for row in rows:
        if (row["client"], row["variant"]) == (client, variant):
            found.setdefault((row["runs"], row["calls"], row["slot_rule"]), []).append(row)
    return dict(sorted(found.items()))


def alike(
    balanced: Mapping[tuple[int, int, str], list[Row]], case: tuple[int, int, str], theirs: Sequence[Row]
) -> list[Row]:
    """Our rows of a case that had the same calls as a peer's: those of its seeds."""
    seeds = {row["seed"] for row in theirs}
    return [row for row in balanced.get(case, ()) if row["seed"] in seeds]


def middle(rows: Sequence[Row], figure: Any) -> float:
    """The median of a figure over repetitions."""
    return float(median(figure(row) for row in rows))


def verdicts(
    rows: Sequence[Row],
    requests: Sequence[Row] = (),
    scale: Sequence[Row] = (),
    lists: Sequence[Row] = (),
    workers: Sequence[Row] = (),
) -> list[Verdict]:
    """Every goal that can be judged from these figures."""
    balanced = groups(rows, client=OURS, variant="balanced")
    return [
        *_time(balanced, rows),
        *_idle(balanced, rows),
        *_teardown(balanced),
        *_requests(requests),
        *_overhead(scale),
        *_service(lists, workers),
    ]


def _time(balanced: Mapping[tuple[int, int, str], list[Row]], rows: Sequence[Row]) -> list[Verdict]:
    ratios = {case: middle(found, lambda row: row["ratio"]) for case, found in balanced.items()}
    hasty = groups(rows, client=OURS, variant="time")
    return [
        _worst("batch time / bound", f"at most {RATIO:.2f}", ratios, RATIO),
        *(_beside(balanced, rows, client=client, variant="calls") for client in ("per_run", "sdks")),
        _beside(hasty, rows, client="per_run", variant="sessions", preferring="time", limit=NOISE),
    ]


def _beside(
    mine: Mapping[tuple[int, int, str], list[Row]],
    rows: Sequence[Row],
    *,
    client: str,
    variant: str,
    preferring: str = "balanced",
    limit: float = 1.0,
) -> Verdict:
    """Our batch time by a peer's; one that keeps more runs at Cekura than it may call is met by preferring time."""
    compared = {
        case: middle(alike(mine, case, theirs), _seconds) / middle(theirs, _seconds)
        for case, theirs in groups(rows, client=client, variant=variant).items()
        if alike(mine, case, theirs)
    }
    name = f"batch time (prefer {preferring}) / that of {client} ({variant})"
    return _worst(name, f"at most {limit:g}", compared, limit)


def _seconds(row: Row) -> float:
    return float(row["seconds"])


def _idle(balanced: Mapping[tuple[int, int, str], list[Row]], rows: Sequence[Row]) -> list[Verdict]:
    shares = {case: middle(found, ours) / middle(found, allowed) for case, found in balanced.items()}
    found = [
        _worst("our share of idle seconds / what is allowed (5 % of call time + half a poll)", "at most 1", shares, 1.0)
    ]
    for client, variant, goal in (
        ("guide", "all", OF_GUIDE),
        ("per_run", "sessions", OF_PER_RUN),
        ("per_run", "calls", OF_PER_RUN),
    ):
        compared = {
            case: _idle_of(ours_alike) / _idle_of(theirs)
            for case, theirs in groups(rows, client=client, variant=variant).items()
            if case[0] >= ENOUGH_RUNS * case[1] and (ours_alike := alike(balanced, case, theirs))
        }
        name = f"idle seconds / those of {client} ({variant}), from {ENOUGH_RUNS} runs a call slot"
        found.append(_worst(name, f"at most {goal:g}", compared, goal))
    return found


def _idle_of(rows: Sequence[Row]) -> float:
    return middle(rows, lambda row: per_run(row, row["idle_seconds"]))


def _teardown(balanced: Mapping[tuple[int, int, str], list[Row]]) -> list[Verdict]:
    found = []
    for what in ("session", "room"):
        lags = {
            case: middle(rows, lambda row, what=what: row["lags"][what]["median"] or 0.0)
            / (rows[0]["poll_interval"] + GRACE_SECONDS)
            for case, rows in balanced.items()
            if all(row["lags"][what]["count"] for row in rows)
        }
        name = f"median from call end to {what} gone / (a poll interval + the grace)"
        found.append(_worst(name, "at most 1", lags, 1.0))
    late = {
        case: middle(rows, lambda row: row["lags"]["room"]["p95"])
        / middle(rows, lambda row: row["lags"]["limited"]["p95"])
        for case, rows in balanced.items()
        if all(row["lags"]["room"]["count"] for row in rows)
    }
    found.append(
        _worst(
            "95th percentile to room gone / what Daily's limit on single deletes would make it", "at most 1", late, 1.0
        )
    )
    return found


def _requests(requests: Sequence[Row]) -> list[Verdict]:
    found = []
    for name, words in (
        ("polls_per_run_minute", "polls per run-minute"),
        ("presence_per_run_minute", "presence requests per run-minute"),
    ):
        values = {row["runs"]: row["requests"][name] for row in requests}
        if len(values) > 1 and min(values.values()) > 0:
            few, many = values[min(values)], values[max(values)]
            shown = ", ".join(f"{value:.2f} at {runs}" for runs, value in sorted(values.items()))
            found.append(Verdict(figure=f"{words}, as N grows", goal="flat", found=shown, reached=many <= FLAT * few))
    return found


def _overhead(scale: Sequence[Row]) -> list[Verdict]:
    by_size = {row["runs"]: row for row in scale}
    found = []
    if MANY_LIVE in by_size:
        row = by_size[MANY_LIVE]
        cpu, memory = row["cpu_ms_per_run"], row["peak_megabytes"]
        found.append(
            _one("CPU per run at 10,000 live runs", f"under {CPU_MS:g} ms", f"{cpu:.2f} ms", reached=cpu < CPU_MS)
        )
        found.append(
            _one("peak memory at 10,000", f"under {MEGABYTES:g} MB", f"{memory:.0f} MB", reached=memory < MEGABYTES)
        )
    if LATE_AT in by_size:
        late = by_size[LATE_AT]["late_ms"]["p99"]
        found.append(
            _one("event-loop lag p99 at 5,000", f"under {LATE_MS:g} ms", f"{late:.0f} ms", reached=late < LATE_MS)
        )
    return found


def _service(lists: Sequence[Row], workers: Sequence[Row]) -> list[Verdict]:
    found = []
    if lists:
        worst = max(lists, key=lambda row: row["ratio"])
        few, many = service.sizes(worst)
        shown = f"worst {worst['ratio']:.2f} ({worst['name']})"
        name = f"a list at {many:,} batches in history / at {few:,}"
        found.append(_one(name, f"at most {MOST:g}", shown, reached=worst["ratio"] <= MOST))
    sooner = ratio(workers)
    if sooner is not None:
        found.append(_one("time of one worker / of two, same load", "above 1", f"{sooner:.2f}", reached=sooner > 1))
    if workers:
        wrong = sum(row["alive"] + row["submitted_twice"] for row in workers)
        found.append(_one("left alive or submitted twice by killed workers", "0", f"{wrong}", reached=wrong == 0))
    return found


def _one(figure: str, goal: str, found: str, *, reached: bool) -> Verdict:
    return Verdict(figure=figure, goal=goal, found=found, reached=reached)


def _worst(figure: str, goal: str, values: Mapping[Any, float], limit: float) -> Verdict:
    """Judge a goal that must hold everywhere by the worst case, and count the cases that reach it."""
    if not values:
        return Verdict(figure=figure, goal=goal, found="not measured", reached=None)
    case, value = max(values.items(), key=lambda item: item[1])
    good = sum(one <= limit for one in values.values())
    runs, calls, rule = case
    shown = f"{good} of {len(values)} cases; worst {value:.2f} ({runs} runs, {calls} calls, {rule})"
    return Verdict(figure=figure, goal=goal, found=shown, reached=good == len(values))
