"""`orchestrator gc` and `orchestrator cancel`: end what an earlier process left, or what another one drives."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.app.batches import cancel_batch, resolve_batch_id
from orchestrator.app.collection import Collection, Leftovers, find_leftovers, look_around, planned_teardown
from orchestrator.app.graph import open_worker, place_of
from orchestrator.app.reading import check_undriven, is_driven, open_reader, state_exists
from orchestrator.app.statement import teardown_statement
from orchestrator.app.surroundings import Surroundings
from orchestrator.cli.console import duration, stderr_console, stdout_console
from orchestrator.cli.interruption import Interruption
from orchestrator.cli.notices import send_left
from orchestrator.cli.progress import PlainLines
from orchestrator.cli.surroundings import print_surroundings
from orchestrator.cli.tables import counted, new_table, teardown_lines
from orchestrator.clock import SystemClock
from orchestrator.domain.batch import ExitCode
from orchestrator.domain.plan import Plan
from orchestrator.domain.session import Session
from orchestrator.plans import load_plan
from orchestrator.settings import Settings, load_settings

SAY_EVERY: Final = 10.0
STOPPED_EARLY: Final = "gc was stopped before it had looked everywhere: run `orchestrator gc` again."
LIMITS_OF_LOOKING: Final = "(It shows a bot up to 15 seconds late; empty rooms of ours are not seen, and expire.)"
BY_COMMAND: Final = "cancelled by `orchestrator cancel`"


async def gc(path: Path | None, *, dry_run: bool, deadline: float) -> int:
    """Show what is left and, unless `dry_run`, tear it down within `deadline` seconds and send what notices wait."""
    settings = load_settings()
    code = await _gc(settings, path, dry_run=dry_run, deadline=deadline)
    if not dry_run and code != ExitCode.CANCELLED:
        await send_left(settings, os.environ)
    return code


async def _gc(settings: Settings, path: Path | None, *, dry_run: bool, deadline: float) -> int:
    console = stdout_console()
    plan = load_plan(path, environ=os.environ).plan if path is not None else None
    found, driven = await _leftovers(settings, dry_run=dry_run)
    _print_leftovers(console, found, driven=driven)
    if dry_run or found.nothing:
        around = await look_around(settings, plan=plan, driven=driven)
        print_surroundings(console, around)
        if not around.strays and found.nothing:
            return _conclude_nothing(console, settings, around)
        if dry_run:
            console.print("Nothing was touched: `orchestrator gc` does what is listed.")
            return int(ExitCode.PASSED)
    return await _collect(settings, found, plan, console, deadline)


async def _leftovers(settings: Settings, *, dry_run: bool) -> tuple[Leftovers, bool]:
    """What the rows know of, and whether somebody drives; Conflict where that forbids to collect."""
    if not state_exists(settings):
        return Leftovers(batches=(), sessions=()), False
    async with open_reader(settings) as store:
        if not dry_run:
            await check_undriven(store)
        return await find_leftovers(store), await is_driven(store)


async def cancel(name: str) -> int:
    """Commit the wish to cancel an open batch."""
    settings, console = load_settings(), stdout_console()
    async with open_reader(settings) as store:
        batch_id = await resolve_batch_id(store, name)
        await cancel_batch(store, batch_id, clock=SystemClock(), reason=BY_COMMAND)
        driven = await is_driven(store)
    if driven:
        console.print(f"batch {batch_id}: cancelling; whoever drives it sees this within a second and tears down")
    else:
        console.print(f"batch {batch_id}: marked as cancelled, but no process drives it: `orchestrator gc` tears down")
    return int(ExitCode.PASSED)


async def _collect(settings: Settings, found: Leftovers, plan: Plan | None, console: Console, deadline: float) -> int:
    notes = PlainLines(stderr_console(), SystemClock())
    with Interruption(leaving=lambda: notes.note("left at once; run `orchestrator gc` again")) as interruption:
        async with open_worker(
            settings, command="orchestrator gc", environ=os.environ, listener=notes.heard, speed=found.speed
        ) as worker:
            interruption.hold()
            collection = Collection(worker, settings, leftovers=found, plan=plan)
            collecting = asyncio.create_task(collection.run(), name="collect")

            async def stop() -> None:
                collecting.cancel()

            async with interruption.answering(stop):
                await _watch(collecting, collection, notes, deadline)
            whole = collecting.done() and not collecting.cancelled()
            if whole:
                collecting.result()
            collecting.cancel()
            sessions = await collection.sessions()
    if collection.surroundings is not None and not found.nothing:
        print_surroundings(console, collection.surroundings)
    if whole:
        return _conclude(console, sessions)
    statement = teardown_statement(sessions)
    lines = teardown_lines(statement)
    for line in [*(lines if statement["left"] else lines[:-1]), STOPPED_EARLY]:  # never that nothing is left
        console.print(line, soft_wrap=True)
    return int(ExitCode.CANCELLED if interruption.asked else ExitCode.LEFT_BEHIND)


async def _watch(collecting: asyncio.Task[None], collection: Collection, notes: PlainLines, deadline: float) -> None:
    """Wait for the end or the deadline, and say now and then what is waited for."""
    ends_at = time.monotonic() + deadline
    while not collecting.done() and (left := ends_at - time.monotonic()) > 0:
        await asyncio.wait([collecting], timeout=min(SAY_EVERY, left))
        if not collecting.done():
            waiting = await collection.waiting()
            reasons = dict.fromkeys(how for one in waiting for how in (one.session_end.how, one.room_end.how) if how)
            notes.note(f"still ending {counted(len(waiting), 'session')}: {'; '.join(reasons)}")


def _conclude(console: Console, sessions: Sequence[Session]) -> int:
    statement = teardown_statement(sessions)
    for line in teardown_lines(statement):
        console.print(line, soft_wrap=True)
    return int(ExitCode.LEFT_BEHIND if statement["left"] else ExitCode.PASSED)


def _conclude_nothing(console: Console, settings: Settings, around: Surroundings) -> int:
    """With rows, they are what is believed; without, only what our keys show, and what they could not be asked."""
    if state_exists(settings):
        console.print("Nothing was left behind.")
        return int(ExitCode.PASSED)
    place = place_of(settings)
    if settings.daily_api_key is None and not settings.daily_keys:
        text = "and no Daily key to look for our mark with: nothing is known to be left behind."
    else:
        text = f"and nothing that our Daily keys show bears the mark of {place}. {LIMITS_OF_LOOKING}"
    console.print(f"There is no state here, {text}", soft_wrap=True)
    return int(ExitCode.INCONCLUSIVE if around.unasked else ExitCode.PASSED)


def _print_leftovers(console: Console, found: Leftovers, *, driven: bool) -> None:
    if found.nothing:
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
