"""Writes docs/benchmarks.md and its plots from the figures that were kept: `python -m benchmarks render`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from benchmarks import figures, goals, idle, plot, prose, service
from benchmarks.comparison import BUDGETS, FEW, GRACE_SECONDS, OURS, RULES
from benchmarks.tables import each, percent, table

Row = Mapping[str, Any]
SERIES: Final = {
    (OURS, "cost"): "cost",
    (OURS, "balanced"): "balanced",
    (OURS, "time"): "time",
    ("guide", "all"): "guide",
    ("per_run", "sessions"): "per run, session limit",
    ("per_run", "calls"): "per run, call limit",
    ("sdks", "calls"): "SDKs, call limit",
}
WORDS: Final = {
    "remote_start": "start to bot joined",
    "evidence": "evidence",
    "unsubmitted": "not submitted",
    "queued": "queued",
    "remote_tester": "tester on its way",
    "ending": "call end to stopped",
    "never_called": "never called",
}


PARTS: Final = ("compare", "requests", "scale", "limits", "startup", "window", "pools", "lists", "workers")
JUDGED: Final = ("requests", "scale", "lists", "workers")
ENGINE_REPLACED: Final = "2026-11-25"  # figures of an earlier day are those of the engine before


def render(folder: Path = figures.FOLDER) -> Path:
    """Write the document beside `folder`, and its plots into it."""
    kept = {part: figures.load(part, folder=folder) for part in PARTS}
    rows = _rows(kept["compare"])
    sections = [
        prose.INTRO,
        _machines(kept),
        _judged(goals.verdicts(rows, **{part: _rows(kept[part]) for part in JUDGED})),
        prose.PEERS,
        prose.TIME,
        _time_table(rows),
        prose.IDLE,
        *_plots(folder, rows),
        _idle_table(rows),
        prose.TEARDOWN,
        _teardown_table(rows),
        prose.REQUESTS,
        *_request_tables(_rows(kept["requests"]), rows),
        prose.SCALE,
        *_scale(folder, _rows(kept["scale"])),
        prose.LEAST,
        _least_table(_rows(kept["limits"])),
        prose.STARTUP,
        _startup_table(_rows(kept["startup"])),
        prose.STARTUP_BEFORE,
        prose.WINDOW,
        _window_table(_rows(kept["window"])),
        *service.sections(**{part: _rows(kept[part]) for part in ("pools", "lists", "workers")}),
        prose.LIMITS,
        _limits(rows),
    ]
    path = folder.with_suffix(".md")
    path.write_text("\n\n".join(sections) + "\n", encoding="utf-8")
    return path


def _rows(document: Any) -> list[Row]:
    return list(document["rows"] if isinstance(document, dict) else document or [])


def _machines(kept: Mapping[str, Any]) -> str:
    found = {part: document["machine"] for part, document in kept.items() if isinstance(document, dict)}
    lines = [
        f"- `{part}`: {one['date']}, {one['system']}, {one['processor']}, {one['cores']} cores,"
        f" Python {one['python']}, {_load_of(one)}"
        for part, one in found.items()
    ]
    old = [f"`{part}`" for part, one in found.items() if one["date"] < ENGINE_REPLACED]
    more = [prose.EARLIER.format(parts=", ".join(old))] if old else []
    return "\n\n".join([prose.MEASURED, "\n".join(lines), *more])


def _load_of(found: Row) -> str:
    after = f"load {found['load']:.1f}"
    return f"load {found['load_before']:.1f}, then {found['load']:.1f}" if "load_before" in found else after


def _judged(verdicts: Sequence[goals.Verdict]) -> str:
    words = {True: "yes", False: "**no**", None: ""}
    found = [(one.figure, one.goal, one.found, words[one.reached]) for one in verdicts]
    return "## What is judged\n\n" + table(("figure", "goal", "found", "reached"), found)


def _grouped(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Repetitions together, in the order of runs, calls, rule and client."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    order = list(SERIES)
    for row in rows:
        who = (row["client"], row["variant"])
        rule = RULES.index(row["slot_rule"])
        found.setdefault((row["runs"], row["calls"], rule, order.index(who)), []).append(row)
    return [(_name(group[0]), group) for _, group in sorted(found.items(), key=lambda item: item[0])]


def _name(row: Row) -> str:
    name = SERIES[row["client"], row["variant"]]
    return f"ours, {name}" if row["client"] == OURS else name


def _time_table(rows: Sequence[Row]) -> str:
    head = ("runs", "calls", "slot until", "client", "seconds", "time / bound", "... with the tester's way")
    head += ("longest first / bound", "floor / bound", "passed", "speed", "CPU", "CPU, sandbox")
    return table(head, (_time_row(name, group) for name, group in _grouped(rows)))


def _time_row(name: str, group: Sequence[Row]) -> tuple[Any, ...]:
    first = group[0]
    return (
        first["runs"],
        first["calls"],
        first["slot_rule"],
        name,
        each((row["seconds"] for row in group), 0),
        each(row["ratio"] for row in group),
        each(row["seconds"] / row["bounds"]["with_testers_way"] for row in group),
        each(row["bounds"]["longest_first"] / row["bounds"]["same_order"] for row in group),
        each(row["bounds"]["floor"] / row["bounds"]["same_order"] for row in group),
        ", ".join(f"{row['passed']}" for row in group),
        f"{first['speed']:g}",
        ", ".join(percent(row["client_cpu"]) for row in group),
        ", ".join(percent(row["sandbox_cpu"]) for row in group),
    )


def _idle_table(rows: Sequence[Row]) -> str:
    head = (
        "runs",
        "calls",
        "slot until",
        "client",
        "idle a run",
        "of paid",
        *WORDS.values(),
        "ours",
        "allowed",
        "missing",
    )
    return table(head, (_idle_row(name, group) for name, group in _grouped(rows)))


def _idle_row(name: str, group: Sequence[Row]) -> tuple[Any, ...]:
    def middle(figure: Any) -> float:
        return goals.middle(group, figure)

    first = group[0]
    own = first["client"] == OURS
    return (
        first["runs"],
        first["calls"],
        first["slot_rule"],
        name,
        each((_idle_a_run(row) for row in group), 1),
        percent(middle(lambda row: row["idle_seconds"] / row["paid_seconds"])),
        *(round(middle(lambda row, part=part: goals.per_run(row, row["parts"][part])), 1) for part in idle.PARTS),
        round(middle(goals.ours), 1),
        round(middle(goals.allowed), 1) if own else None,
        f"{middle(lambda row: goals.per_run(row, abs(row['difference']))):.3f}",
    )


def _teardown_table(rows: Sequence[Row]) -> str:
    head = (
        "runs",
        "calls",
        "slot until",
        "client",
        "session, median",
        "p95",
        "room, median",
        "p95",
        "p95 by the limit",
    )
    return table(
        head,
        (
            (
                row["runs"],
                row["calls"],
                row["slot_rule"],
                name,
                *(_seconds(row["lags"][what][figure]) for what in ("session", "room") for figure in ("median", "p95")),
                _seconds(row["lags"]["limited"]["p95"]),
            )
            for name, group in _grouped(rows)
            for row in group
        ),
    )


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"


def _request_tables(requests: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    ordered = sorted(requests, key=lambda row: row["runs"])
    operations = sorted({name for row in ordered for name in row["requests"]["operations"]})
    counted = [
        (name, *(f"{row['requests']['operations'].get(name, 0) / row['runs']:.2f}" for row in ordered))
        for name in operations
    ]
    return [
        _rates([(_name(row), row) for row in ordered]),
        "Requests per run, by operation (the sandbox's names):",
        table(("operation", *(f"{row['runs']} runs" for row in ordered)), counted),
        prose.PEERS_REQUESTS,
        _rates([(name, row) for name, group in _grouped(rows) for row in group if _shown_as_peer(row)]),
    ]


def _shown_as_peer(row: Row) -> bool:
    return bool(row["runs"] == FEW and row["calls"] == BUDGETS[1] and row["slot_rule"] == RULES[0] and not row["seed"])


def _rates(rows: Sequence[tuple[str, Row]]) -> str:
    remotes = ("Pipecat Cloud", "Daily", "Cekura")
    head = (
        "client",
        "runs",
        "polls per run-minute",
        "polls a minute",
        "presence per run-minute",
        "a minute",
        "requests a run",
        *remotes,
    )
    return table(
        head,
        (
            (
                name,
                row["runs"],
                row["requests"]["polls_per_run_minute"],
                row["requests"]["polls_per_minute"],
                row["requests"]["presence_per_run_minute"],
                row["requests"]["presence_per_minute"],
                row["requests"]["total"] / row["runs"],
                *(row["requests"]["remotes"].get(remote, 0) / row["runs"] for remote in remotes),
            )
            for name, row in rows
        ),
    )


def _scale(folder: Path, rows: Sequence[Row]) -> list[str]:
    head = ("live runs", "CPU ms a run", "ms a run-minute", "peak MB", "lag p50, ms", "p99", "longest", "left", "wrong")
    found = [
        table(
            head,
            (
                (
                    row["runs"],
                    row["cpu_ms_per_run"],
                    row["cpu_ms_per_run_minute"],
                    f"{row['peak_megabytes']:.0f}",
                    *(f"{row['late_ms'][name]:.1f}" for name in ("p50", "p99", "max")),
                    row["left"],
                    row["wrong"],
                )
                for row in rows
            ),
        )
    ]
    for few, many in pairwise(rows):
        more = many["runs"] - few["runs"]
        cpu = (many["cpu_ms_per_run"] * many["runs"] - few["cpu_ms_per_run"] * few["runs"]) / more
        memory = 1000 * (many["peak_megabytes"] - few["peak_megabytes"]) / more
        found.append(f"From {few['runs']} to {many['runs']}: {cpu:.2f} ms CPU and {memory:.1f} kB for each run more.")
    flames = sorted(path.name for path in folder.glob("flame*.svg"))
    found += [f"Flame graph: [{name}]({folder.name}/{name})." for name in flames]
    return found


def _least_table(rows: Sequence[Row]) -> str:
    return table(("what", "ms CPU"), ((row["name"], row["cpu_ms"]) for row in rows))


def _startup_table(rows: Sequence[Row]) -> str:
    head = ("what", "median", "shortest", "longest", "CPU", "of")
    names = ("name", "median", "shortest", "longest", "cpu", "repetitions")
    return table(head, (tuple(row.get(name) for name in names) for row in rows))


def _window_table(rows: Sequence[Row]) -> str:
    head = ("sessions", "exit after, s", "left in the report", "sessions alive", "rooms alive", "calls cut short")
    names = ("sessions", "seconds", "left", "alive", "rooms", "cut_short")
    return table(head, (tuple(row[name] for name in names) for row in rows))


def _limits(rows: Sequence[Row]) -> str:
    """How much of each figure is the remotes' own doing."""
    balanced = goals.groups(rows, client=OURS, variant="balanced")
    head = ("runs", "calls", "slot until", "first call began after", "of the bound", "remotes' own idle a run")
    head += ("least from call end to stopped", "least idle a run", "half of per run, call limit")
    half = {
        case: goals.OF_PER_RUN * goals.middle(found, _idle_a_run)
        for case, found in goals.groups(rows, client="per_run", variant="calls").items()
    }
    return table(head, (_limit_row(case, found, half.get(case)) for case, found in balanced.items()))


def _limit_row(case: tuple[int, int, str], found: Sequence[Row], half: float | None) -> tuple[Any, ...]:
    remotes = goals.middle(found, lambda row: goals.per_run(row, sum(row["parts"][name] for name in idle.REMOTES)))
    ending = found[0]["poll_interval"] / 2 + GRACE_SECONDS
    return (
        *case,
        _seconds(goals.middle(found, lambda row: row["bounds"]["first_call"])),
        percent(goals.middle(found, lambda row: row["bounds"]["first_call"] / row["bounds"]["same_order"])),
        _seconds(remotes),
        _seconds(ending),
        _seconds(remotes + ending),
        _seconds(half),
    )


def _idle_a_run(row: Row) -> float:
    return goals.per_run(row, row["idle_seconds"])


def _plots(folder: Path, rows: Sequence[Row]) -> list[str]:
    """The frontier of batch time and idle seconds, and idle seconds by cause."""
    shown = [(name, group) for name, group in _grouped(rows) if _few_judged(group[0])]
    if not shown:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    panels = _frontier(shown)
    values = [point for panel in panels for point in panel.points]
    x = plot.Axis(low=0.9, high=max(1.3, *(point.x for point in values)) * 1.05, name="batch time / bound")
    high = max(point.y for point in values) * 2
    y = plot.Axis(low=2.0, high=high, name="idle session seconds per run", logarithmic=True)
    (folder / "frontier.svg").write_text(
        plot.scatter("Batch time and idle seconds", panels, x=x, y=y), encoding="utf-8"
    )
    bars = [
        (
            f"{group[0]['calls']} calls: {name}",
            [goals.per_run(group[0], group[0]["parts"][part]) for part in idle.PARTS],
        )
        for name, group in shown
    ]
    picture = plot.bars(
        "Idle session seconds by cause", bars, list(WORDS.values()), unit="idle session seconds per run"
    )
    (folder / "idle.svg").write_text(picture, encoding="utf-8")
    runs = shown[0][1][0]["runs"]
    return [
        f"![Batch time over its bound against idle seconds per run]({folder.name}/frontier.svg)",
        f"*{runs} runs, slots until judged. Left and low is better; ours are filled, `prefer` chooses among them.*",
        f"![Idle seconds per run by cause]({folder.name}/idle.svg)",
    ]


def _few_judged(row: Row) -> bool:
    return bool(row["runs"] <= FEW and row["slot_rule"] == RULES[0])


def _frontier(shown: Sequence[tuple[str, Sequence[Row]]]) -> list[plot.Panel]:
    colours = {name: number for number, name in enumerate(SERIES.values())}
    panels = []
    for calls in sorted({group[0]["calls"] for _, group in shown}):
        points = [
            plot.Point(
                x=goals.middle(group, lambda row: row["ratio"]),
                y=goals.middle(group, _idle_a_run),
                label=SERIES[group[0]["client"], group[0]["variant"]],
                colour=colours[SERIES[group[0]["client"], group[0]["variant"]]],
                hollow=group[0]["client"] != OURS,
            )
            for _, group in shown
            if group[0]["calls"] == calls
        ]
        panels.append(plot.Panel(title=f"{calls} calls at once", points=points, across={goals.RATIO: "1.10"}))
    return panels
