"""`list` and `show` of batches, runs and sessions, read beside whoever drives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from orchestrator.app.batches import resolve_batch_id, view_batch
from orchestrator.app.documents import batch_document, run_document, session_document
from orchestrator.app.reading import (
    find_run,
    find_session,
    open_reader,
    recent_batches,
    recent_sessions,
    result_links,
    runs_of,
    sessions_of,
    state_exists,
)
from orchestrator.app.report import call_seconds, report_document
from orchestrator.cli.console import duration, local_moment, stdout_console
from orchestrator.cli.edge import print_json
from orchestrator.cli.tables import new_table, outcome_text, print_report
from orchestrator.domain.batch import Batch, Totals
from orchestrator.settings import load_settings


async def list_batches(*, limit: int, as_json: bool) -> int:
    """The newest batches."""
    settings = load_settings()
    found: list[tuple[Batch, Totals]] = []
    if state_exists(settings):
        async with open_reader(settings) as store:
            found = await recent_batches(store, limit=limit)
    if as_json:
        print_json({"batches": [batch_document(batch, totals) for batch, totals in found]})
        return 0
    console = stdout_console()
    table = new_table("batch", "name", "status", "outcome", "runs", "passed", "failed", "inconcl.", "created")
    for batch, totals in found:
        table.add_row(
            batch.batch_id,
            Text(batch.name),
            "cancelling" if batch.cancel_asked_at and not batch.closed_at else batch.status.value,
            outcome_text(batch.outcome, console),
            *map(str, (totals.runs, totals.passed, totals.failed, totals.inconclusive)),
            local_moment(batch.created_at),
        )
    console.print(table)
    return 0


async def show_batch(name: str, *, as_json: bool) -> int:
    """One batch's report, as `run` ends with."""
    settings = load_settings()
    async with open_reader(settings) as store, result_links(settings) as links:
        view = await view_batch(store, await resolve_batch_id(store, name))
    document = report_document(view, result_url=links)
    if as_json:
        print_json(document)
    else:
        print_report(stdout_console(), document)
    return 0


async def list_runs(name: str, *, as_json: bool) -> int:
    """The runs of one batch."""
    async with open_reader(load_settings()) as store:
        runs = await runs_of(store, name)
    if as_json:
        print_json({"runs": [run_document(run) for run in runs]})
        return 0
    console = stdout_console()
    table = new_table("run", "scenario", "status", "outcome", "tries", "call", "cekura run", "reason")
    for run in runs:
        seconds = call_seconds(run)
        table.add_row(
            str(run.index),
            str(run.scenario_id),
            run.status.value,
            outcome_text(run.outcome, console),
            str(run.attempt),
            duration(seconds) if seconds is not None else "-",
            str(run.cekura_run_id or "-"),
            Text(run.reason),
        )
    console.print(table)
    return 0


async def show_run(name: str, *, as_json: bool) -> int:
    """One run with all its sessions."""
    async with open_reader(load_settings()) as store:
        run = await find_run(store, name)
        sessions = [one for one in await sessions_of(store, run.batch_id) if one.run_id == run.run_id]
    if as_json:
        print_json({**run_document(run), "sessions": [session_document(one) for one in sessions]})
        return 0
    _print_fields(run_document(run))
    for session in sessions:
        stdout_console().print(f"\nsession of try {session.attempt}")
        _print_fields(session_document(session))
    return 0


async def list_sessions(*, batch: str | None, unsettled: bool, limit: int | None, as_json: bool) -> int:
    """Sessions with how their ends stand, newest first."""
    async with open_reader(load_settings()) as store:
        sessions = await recent_sessions(store, batch, unsettled=unsettled, limit=limit)
    if as_json:
        print_json({"sessions": [session_document(session) for session in sessions]})
        return 0
    table = new_table("run", "try", "session", "status", "session end", "room end", "ends by itself")
    for session in sessions:
        table.add_row(
            session.run_id,
            str(session.attempt),
            Text(session.session_id or session.nonce),
            session.status.value,
            session.session_end.state.value,
            session.room_end.state.value,
            local_moment(session.ends_at),
        )
    stdout_console().print(table)
    return 0


async def show_session(name: str, *, as_json: bool) -> int:
    """One session with everything known of it, its meeting token excepted."""
    async with open_reader(load_settings()) as store:
        session = await find_session(store, name)
    if as_json:
        print_json(session_document(session))
    else:
        _print_fields(session_document(session))
    return 0


def _print_fields(document: Mapping[str, Any], *, indent: str = "") -> None:
    console = stdout_console()
    width = max(len(name) for name in document)
    for name, value in document.items():
        if isinstance(value, Mapping):
            console.print(f"{indent}{name}")
            _print_fields(value, indent=f"{indent}  ")
        else:
            console.print(f"{indent}{name:<{width}}  {'-' if value in {None, ''} else value}", soft_wrap=True)
