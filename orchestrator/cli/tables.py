"""What came of a batch, for a person: outcomes, teardown, phases, and the one line that sums it up.

Everything is drawn from the report document, so that `run`, `batches show` and `--json` cannot disagree.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.app.markdown import ramp_line
from orchestrator.app.report import scenario_label
from orchestrator.cli.console import duration, glyph, local_moment

Document = Mapping[str, Any]
NO_SESSION: Final = "no session was started, nothing to tear down"
MOST_ROWS: Final = 50  # a batch of more runs lists only those that did not pass
MOST_WAYS: Final = 6  # how many ways of confirming an end have a line of their own
SIGNS: Final = {"passed": "✓", "failed": "✗", "inconclusive": "?"}
STYLES: Final = {"passed": "green", "failed": "red", "inconclusive": "yellow"}


def new_table(*columns: str, title: str | None = None) -> Table:
    """A table that stays legible without lines and colours; cells fold, nothing is cut."""
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def outcome_text(outcome: str | None, console: Console) -> Text:
    """`✓ passed`: the sign and the word, whatever the colours do."""
    if outcome is None:
        return Text("-")
    return Text(f"{glyph(SIGNS[outcome], console)} {outcome}", style=STYLES[outcome])


def print_report(console: Console, document: Document) -> None:
    """The whole end of a batch."""
    shown = _shown(document["runs"])
    console.print(_outcomes(document["runs"], shown, console))
    for line in (*_links(shown), *_shared(document["results"])):
        console.print(line, soft_wrap=True)
    console.print()
    if document["phases"]:
        console.print(phases_table(document["phases"]))
        if document["batch"]["speed"] != 1:
            console.print(f"(in seconds of this machine, {document['batch']['speed']:g} times faster than life)")
        console.print()
    for line in teardown_lines(document["teardown"]):
        console.print(line, soft_wrap=True)
    console.print(last_line(document), style="bold", soft_wrap=True)


def _shown(runs: Sequence[Document]) -> Sequence[Document]:
    return runs if len(runs) <= MOST_ROWS else [run for run in runs if run["outcome"] != "passed"]


def _outcomes(runs: Sequence[Document], shown: Sequence[Document], console: Console) -> Table:
    table = new_table("run", "scenario", "outcome", "tries", "call", "result", "reason")
    folding = {"reason", "scenario"} if any(run["matrix"] for run in shown) else {"reason"}
    for column in table.columns:
        column.no_wrap = column.header not in folding
    for run in shown:
        table.add_row(
            str(run["index"]),
            Text(scenario_label(run)),
            outcome_text(run["outcome"], console) if run["outcome"] else Text(run["status"]),
            str(run["attempts"]),
            duration(run["call_seconds"]) if run["call_seconds"] is not None else "-",
            str(run["cekura_result_id"] or "-"),
            Text(_reason(run)),
        )
    if len(shown) < len(runs):
        table.caption = f"{len(runs) - len(shown)} passed runs are not listed: `orchestrator runs list` shows all"
        table.caption_justify = "left"
    return table


def _reason(run: Document) -> str:
    """Why it came out so, and why it was tried again, if it was."""
    again = [f"tried again: {one['reason']}" for one in run["earlier_attempts"]]
    return "; ".join([*([run["reason"]] if run["reason"] else []), *again])


def _links(runs: Sequence[Document]) -> list[str]:
    by_link: dict[str, list[int]] = defaultdict(list)
    for run in runs:
        if run["result_url"]:
            by_link[run["result_url"]].append(run["index"])
    return [f"{link}  (runs {', '.join(map(str, indexes))})" for link, indexes in by_link.items()]


def _shared(results: Sequence[Document]) -> list[str]:
    shared = [one for one in results if one["shared_url"]]
    return _at_most([f"{one['shared_url']}  (result {one['id']}, for whoever has the link)" for one in shared])


def phases_table(phases: Mapping[str, Mapping[str, float]]) -> Table:
    """How long each phase took, in seconds of this machine's clock."""
    table = new_table("phase", "runs", "median", "p95")
    for name, figures in phases.items():
        table.add_row(name, f"{figures['count']:.0f}", duration(figures["median"]), duration(figures["p95"]))
    return table


def teardown_lines(teardown: Document) -> list[str]:
    """How every session and room ended: counted where confirmed, named with what ends it and when where not."""
    if not teardown["sessions"] and not teardown["items"]:
        whose = "the sessions are Cekura's own, which it ends itself" if teardown.get("by_cekura") else NO_SESSION
        return [f"Teardown: {whose}.", *_uncertainties(teardown)]
    ends = teardown["confirmed"] + len(teardown["bounded"]) + len(teardown["left"])
    lines = [
        (
            f"Teardown: {counted(teardown['sessions'], 'session')} and {counted(teardown['rooms'], 'room')}; "
            f"{teardown['confirmed']} of {ends} ends confirmed, {len(teardown['bounded'])} bounded, "
            f"{len(teardown['left'])} left."
        )
    ]
    lines += _confirmed(teardown["items"])
    lines += _at_most([f"  bounded: {_named(item)}" for item in teardown["bounded"]])
    lines += _at_most([f"  LEFT: {_named(item)}" for item in teardown["left"]])
    return [*lines, *_uncertainties(teardown), _conclusion(teardown)]


def _uncertainties(teardown: Document) -> list[str]:
    """Starts and submissions of which nobody knows what they did; one of an automated channel is of many runs."""
    named = [(f"run {item['run']}: " if item["run"] else "", item["reason"]) for item in teardown["uncertain"]]
    return _at_most([f"  UNCERTAIN: {whose}{reason}" for whose, reason in named])


def _confirmed(items: Sequence[Document]) -> list[str]:
    """One line for each way in which ends were confirmed; rare ways that differ only in their words share one."""
    ways = Counter((item["what"], item["how"] or "") for item in items if item["state"] == "confirmed")
    told = ways.most_common(MOST_WAYS)
    lines = [f"  {counted(count, what)}{', each' if count > 1 else ''}: {how}" for (what, how), count in told]
    rest = ways.total() - sum(count for _, count in told)
    return [*lines, f"  {counted(rest, 'end')} more, confirmed in other ways"] if rest else lines


def _at_most(lines: list[str]) -> list[str]:
    if len(lines) <= MOST_ROWS:
        return lines
    return [*lines[:MOST_ROWS], f"  ... and {len(lines) - MOST_ROWS} more: `batches show --json` names all"]


def _conclusion(teardown: Document) -> str:
    """Whether anything is left, and when the last of it ends by itself."""
    named = [*teardown["bounded"], *teardown["left"]]
    if not named:
        return "Nothing is left: every session and room is confirmed gone."
    untils = [item["until"] for item in named]
    by = f" by {_local(max(untils))}" if all(untils) else ""
    if teardown["left"]:
        return f"Something may be left: what is named above ends by itself{by}; `orchestrator gc` goes on."
    return f"What is bounded above ends by itself{by}; nothing else is left."


def counted(count: int, noun: str) -> str:
    """`1 run`, `2 runs`, `2 batches`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('ch') else 's'}"


def _named(item: Document) -> str:
    """`session ID (run RUN): the last trouble; what ends it, by when`."""
    who = f"{item['what']} {item['id'] or 'of unknown name'}{_whose(item)}"
    trouble = f"{item['how'].rstrip('.')}; " if item["how"] and item["how"] != item["by"] else ""
    verb = "" if item["state"] == "bounded" else "ended at the latest by "
    when = f", by {_local(item['until'])}" if item["until"] else ""
    return f"{who}: {trouble}{verb}{item['by'] or 'no end known'}{when}"


def _whose(item: Document) -> str:
    return f" (run {item['run']})" if item.get("run") else ""


def _local(text: str) -> str:
    return local_moment(datetime.fromisoformat(text))


def last_line(document: Document) -> str:
    """Outcome, figures, exit code and its meaning, in one line."""
    batch, totals = document["batch"], document["totals"]
    word = "CANCELLED" if batch["cancelled"] else (batch["outcome"] or batch["status"]).upper()
    why = f" Reason: {batch['reason'].rstrip('.')}." if batch["reason"] else ""
    why += f" {ramp_line(batch)}" if batch.get("ramp") else ""
    return (
        f"{word}: {totals['passed']} passed, {totals['failed']} failed, {totals['inconclusive']} inconclusive of "
        f"{totals['runs']}{_rate(document)}.{why} Exit code {batch['exit_code']}: {batch['exit_meaning']}."
    )


def _rate(document: Document) -> str:
    rate, gate = document["totals"]["pass_rate"], document["batch"]["gate"]["min_pass_rate"]
    return "" if rate is None else f" (pass rate {rate:.1%}, the gate asks for {gate:.1%})"
