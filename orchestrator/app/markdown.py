"""The report as files: `report.json`, the document itself, and `report.md`, the same for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from orchestrator.app.report import scenario_label
from orchestrator.domain.errors import InvalidSettings

Document = Mapping[str, Any]
ENDS: Final = ("run", "try", "what", "id", "started", "state", "how it ended, or what ends it", "when")


def make_folder(folder: Path) -> None:
    """Make the place for reports before anything is paid for; InvalidSettings where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidSettings(
            f"--report-dir {folder}: {error.strerror}", next_step="Name a folder that can be made and written."
        ) from error


def write_reports(document: Document, folder: Path) -> str:
    """Write both files into `folder` and say so; a full disk by then costs the files, not the batch's exit code."""
    texts = {
        "report.json": json.dumps(document, indent=2, ensure_ascii=False) + "\n",
        "report.md": report_markdown(document),
    }
    try:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        return f"reports could not be written to {folder}: {error.strerror}; `orchestrator batches show` has them"
    return f"wrote {' and '.join(str(folder / name) for name in texts)}"


def report_markdown(document: Document) -> str:
    """Outcomes, phases and teardown as Markdown tables."""
    batch, totals = document["batch"], document["totals"]
    parts = [
        f"# {_cell(batch['name'])}: {'cancelled' if batch['cancelled'] else batch['outcome'] or batch['status']}",
        (
            f"Batch `{batch['id']}`. {totals['passed']} passed, {totals['failed']} failed, "
            f"{totals['inconclusive']} inconclusive of {totals['runs']}. "
            f"Exit code {batch['exit_code']}: {batch['exit_meaning']}."
        ),
        *([_cell(ramp_line(batch))] if batch.get("ramp") else []),
        _table(("run", "scenario", "outcome", "tries", "call, s", "result", "reason"), map(_run, document["runs"])),
        *_shared(document.get("results", ())),
        "## Phases",
        _table(("phase", "runs", "median, s", "p95, s"), _phases(document["phases"])),
        "## Teardown",
        _teardown(document["teardown"]),
    ]
    return "\n\n".join(parts) + "\n"


def _shared(results: Sequence[Document]) -> list[str]:
    """Links to results for whoever has them, where the plan asked for some."""
    links = [f"- Result {one['id']}: {one['shared_url']}" for one in results if one["shared_url"]]
    return ["## Shared results", "\n".join(links)] if links else []


def ramp_line(batch: Document) -> str:
    """How far the ramp came, and why it was stopped, if it was."""
    ramp = batch["ramp"]
    reached = "nothing was started" if ramp["highest_level"] is None else f"highest level {ramp['highest_level']}"
    stopped = f"; {batch['stopped']}" if batch["stopped"] else ""
    return f"Ramp: {ramp['profile']}, {reached}{stopped}."


def _run(run: Document) -> Sequence[Any]:
    result = run["cekura_result_id"] or ""
    link = f"[{result}]({run['result_url']})" if run["result_url"] else result
    call = run["call_seconds"] if run["call_seconds"] is not None else ""
    again = [f"tried again: {one['reason']}" for one in run["earlier_attempts"]]
    reason = "; ".join([*([run["reason"]] if run["reason"] else []), *again])
    return run["index"], scenario_label(run), run["outcome"] or run["status"], run["attempts"], call, link, reason


def _phases(phases: Mapping[str, Document]) -> Iterable[Sequence[Any]]:
    return ((name, one["count"], one["median"], one["p95"]) for name, one in phases.items())


def _teardown(teardown: Document) -> str:
    """The whole statement: one row for each session and room, whatever became of it."""
    head = (
        f"{teardown['sessions']} sessions and {teardown['rooms']} rooms: {teardown['confirmed']} ends confirmed, "
        f"{len(teardown['bounded'])} bounded, {len(teardown['left'])} left. Times are UTC."
    )
    if teardown.get("by_cekura"):
        head = "The sessions are Cekura's own, which it ends itself."
    uncertain = [f"- Uncertain{_whose(one)}: {_cell(one['reason'])}." for one in teardown["uncertain"]]
    items = [_table(ENDS, map(_end, teardown["items"]))] if teardown["items"] else []
    return "\n\n".join([head, *(["\n".join(uncertain)] if uncertain else []), *items])


def _whose(item: Document) -> str:
    """Of which run; a submission of an automated channel is of many."""
    return f", run {_cell(item['run'])}" if item["run"] else ""


def _end(item: Document) -> Sequence[Any]:
    """How it was confirmed and when, or what ends it and until when, with the last trouble."""
    confirmed = item["state"] == "confirmed"
    trouble = f"; {item['how']}" if item["how"] and item["how"] != item["by"] else ""
    how = item["how"] if confirmed else f"{item['by'] or 'no end known'}{trouble}"
    when = _second(item["at"]) if confirmed else f"until {_second(item['until'])}" if item["until"] else ""
    begun = _second(item["started_at"])
    return item["run"], item["attempt"], item["what"], item["id"] or "of unknown name", begun, item["state"], how, when


def _second(text: str | None) -> str:
    """A moment to the second."""
    return datetime.fromisoformat(text).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00") if text else ""


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    """One cell: no line breaks, no bars, no markup that a remote's text could smuggle in."""
    text = "" if value is None else str(value)
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
