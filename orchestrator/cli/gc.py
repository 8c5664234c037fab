"""`orchestrator gc` and `orchestrator cancel`: end what an earlier process left, or what another one drives."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.app.batches import cancel_batch, resolve_batch_id
from orchestrator.app.collection import Leftovers, collect, find_leftovers, planned_teardown, settled_since
from orchestrator.app.graph import open_worker
from orchestrator.app.reading import check_undriven, is_driven, open_reader, state_exists
from orchestrator.app.statement import teardown_statement
from orchestrator.cli.console import duration, stderr_console, stdout_console
from orchestrator.cli.interruption import Interruption
from orchestrator.cli.progress import PlainLines
from orchestrator.cli.tables import counted, new_table, teardown_lines
from orchestrator.clock import SystemClock
from orchestrator.domain.batch import ExitCode
from orchestrator.domain.session import Session
from orchestrator.settings import Settings, load_settings
from orchestrator.store.database import Store

SAY_EVERY: Final = 10.0
BY_COMMAND: Final = "cancelled by `orchestrator cancel`"


async def gc(*, dry_run: bool, deadline: float) -> int:
    """Show what is left and, unless `dry_run`, tear it down within `deadline` seconds."""
    settings, console = load_settings(), stdout_console()
    if not state_exists(settings):
        console.print("Nothing was left behind: there is no state here yet.")
        return int(ExitCode.PASSED)
    async with open_reader(settings) as store:
        if not dry_run:
            check_undriven(store)
        found, driven = await find_leftovers(store), is_driven(store)
    _print_leftovers(console, found, driven=driven)
    if dry_run or found.nothing:
        return int(ExitCode.PASSED)
    return await _collect(settings, found, console, deadline)


async def cancel(name: str) -> int:
    """Commit the wish to cancel an open batch."""
    settings, console = load_settings(), stdout_console()
    async with open_reader(settings) as store:
        batch_id = await resolve_batch_id(store, name)
        await cancel_batch(store, batch_id, clock=SystemClock(), reason=BY_COMMAND)
        driven = is_driven(store)
    if driven:
        console.print(f"batch {batch_id}: cancelling; whoever drives it sees this within a second and tears down")
    else:
        console.print(f"batch {batch_id}: marked as cancelled, but no process drives it: `orchestrator gc` tears down")
    return int(ExitCode.PASSED)


async def _collect(settings: Settings, found: Leftovers, console: Console, deadline: float) -> int:
    notes = PlainLines(stderr_console(), SystemClock())
    with Interruption(leaving=lambda: notes.note("left at once; run `orchestrator gc` again")) as interruption:
        async with open_worker(
            settings, command="orchestrator gc", environ=os.environ, listener=notes.heard, speed=found.speed
        ) as worker:
            interruption.hold()
            collecting = asyncio.create_task(collect(worker), name="collect")

            async def stop() -> None:
                collecting.cancel()

            async with interruption.answering(stop):
                await _watch(collecting, worker.store, notes, deadline)
            if collecting.done() and not collecting.cancelled():
                collecting.result()
            collecting.cancel()
            sessions = await settled_since(worker.store, found)
    return _conclude(console, sessions)


async def _watch(collecting: asyncio.Task[None], store: Store, notes: PlainLines, deadline: float) -> None:
    """Wait for the end or the deadline, and say now and then what is waited for."""
    ends_at = time.monotonic() + deadline
    while not collecting.done() and (left := ends_at - time.monotonic()) > 0:
        await asyncio.wait([collecting], timeout=min(SAY_EVERY, left))
        if not collecting.done():
            waiting = (await find_leftovers(store)).sessions
            reasons = dict.fromkeys(how for one in waiting for how in (one.session_end.how, one.room_end.how) if how)
            notes.note(f"still ending {counted(len(waiting), 'session')}: {'; '.join(reasons)}")


def _conclude(console: Console, sessions: Sequence[Session]) -> int:
    statement = teardown_statement(tuple(sessions))
    for line in teardown_lines(statement):
        console.print(line, soft_wrap=True)
    if statement["left"]:
        console.print("Not everything is settled: `orchestrator gc` goes on where this ended.", soft_wrap=True)
        return int(ExitCode.LEFT_BEHIND)
    console.print("Everything is confirmed gone, or bounded and named.")
    return int(ExitCode.PASSED)


def _print_leftovers(console: Console, found: Leftovers, *, driven: bool) -> None:
    if found.nothing:
        console.print("Nothing was left behind.")
        return
    if driven:
        console.print("A process drives this state at the moment; this is its work in hand:")
    for view in found.batches:
        statuses = [run.status for run in view.runs]
        counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
        console.print(f"batch {view.batch.batch_id} ({view.batch.name}) is open: runs {counts}", soft_wrap=True)
    if found.sessions:
        console.print(_sessions_table(found.sessions))


def _sessions_table(sessions: Sequence[Session]) -> Table:
    now = SystemClock().now()
    table = new_table("session", "room", "age", "to do")
    for session in sessions:
        table.add_row(
            Text(session.session_id or session.nonce),
            Text(session.room_url or "-"),
            duration(now - session.intended_at),
            Text(planned_teardown(session, now=now)),
        )
    return table
