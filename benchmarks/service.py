"""The sections of docs/benchmarks.md about what `serve` brings: session pools, long histories, several workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks import prose
from benchmarks import workers as team
from benchmarks.pools import summary
from benchmarks.tables import table

Row = Mapping[str, Any]
ENDS: Final = {"runs": "runs", "passed": "passed", "left alive": "alive", "submitted twice": "submitted_twice"}


def sections(*, pools: Sequence[Row], lists: Sequence[Row], workers: Sequence[Row]) -> list[str]:
    """Each section's text and tables, in the order of the page."""
    return [
        prose.POOLS,
        _pools_table(pools),
        *([summary(pools)] if pools else []),
        prose.LISTS,
        _lists_table(lists),
        prose.WORKERS,
        _takeover_table(workers),
        prose.LOAD.format(batches=team.BATCHES, runs=team.RUNS, at_once=team.AT_ONCE),
        _load_table(workers),
    ]


def _pools_table(rows: Sequence[Row]) -> str:
    head = ("sessions", "runs", "passed", "start to submit, p50, s", "p95", "batch, s", "idle a run, s", "in the pool")
    head += ("started again, unused",)
    return table(
        head,
        (
            (
                "warm, from a pool" if row["pool"] else "started for runs",
                row["runs"],
                row["passed"],
                row["start_to_submit"]["median"],
                row["start_to_submit"]["p95"],
                f"{row['batch_seconds']:.1f}",
                f"{row['idle_seconds'] / row['runs']:.1f}",
                f"{row['idle_in_pool'] / row['runs']:.1f}",
                f"{row['idle_unused'] / row['runs']:.1f}",
            )
            for row in rows
        ),
    )


def sizes(row: Row) -> tuple[int, int]:
    """Batches in the shorter history and in the longer one."""
    found = sorted(int(size) for size in row["ms"])
    return found[0], found[-1]


def _lists_table(rows: Sequence[Row]) -> str:
    counts = sorted({int(size) for row in rows for size in row["ms"]})
    head = ("what", *(f"{count:,} batches, ms" for count in counts), "ratio")
    found = [{int(size): milliseconds for size, milliseconds in row["ms"].items()} for row in rows]
    return table(
        head,
        ((row["name"], *(ms[count] for count in counts), row["ratio"]) for row, ms in zip(rows, found, strict=True)),
    )


def _takeover_table(rows: Sequence[Row]) -> str:
    head = ("lease, s", "killed", "taken over after, median, s", "shortest", "longest", *ENDS)
    names = ("kills", "median", "shortest", "longest", *ENDS.values())
    found = [row for row in rows if row["kind"] == "takeover"]
    return table(head, ((f"{row['lease']:g}", *(row[name] for name in names)) for row in found))


def _load_table(rows: Sequence[Row]) -> str:
    head = ("workers", "median, s", "shortest", "longest", "of", *ENDS, "sooner than one, times")
    names = ("workers", "median", "shortest", "longest", "repetitions", *ENDS.values())
    found = [row for row in rows if row["kind"] == "load"]
    ratios = (found[0]["median"] / row["median"] for row in found)
    return table(head, ((*(row[name] for name in names), times) for row, times in zip(found, ratios, strict=True)))
