"""`orchestrator run`: one batch from its plan, or from where it was left, to its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from orchestrator.app.batches import (
    BatchView,
    cancel_leftovers,
    create_batch,
    live_view,
    resolve_batch_id,
    run_batch,
    view_batch,
)
from orchestrator.app.graph import Worker, open_worker
from orchestrator.app.markdown import make_folder, write_reports
from orchestrator.app.preflight import check_keys, check_remotes, check_time_scale
from orchestrator.app.reading import open_reader, result_links, unsettled_of
from orchestrator.app.report import report_document
from orchestrator.app.selection import resolve_alone
from orchestrator.cli.confirmation import confirm
from orchestrator.cli.console import stderr_console, stdout_console
from orchestrator.cli.edge import Underway, end_within, exit_now, print_json
from orchestrator.cli.interruption import Interruption
from orchestrator.cli.notices import tell_outside
from orchestrator.cli.progress import Look, Teller, teller_for
from orchestrator.cli.stopping import Stopping
from orchestrator.cli.tables import counted, print_report
from orchestrator.clock import SystemClock
from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.errors import InvalidSettings, OrchestratorError, RemoteError
from orchestrator.domain.plan import Plan
from orchestrator.plans import LoadedPlan, check_variables, load_plan
from orchestrator.settings import Settings, load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """What was typed after `run`."""

    plan: Path | None
    overrides: Sequence[str]
    resume: str | None
    time_scale: float
    as_json: bool
    report_dir: Path | None
    drain: bool
    yes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One batch to drive: a new one from `loaded`, or the open one named `batch_id`."""

    command: str
    settings: Settings
    environ: Mapping[str, str]
    plan: Plan
    speed: float
    loaded: LoadedPlan | None = None
    batch_id: str | None = None
    drain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A batch at its end, and as the document that every output is made from; `early` where it was left open."""

    view: BatchView
    document: dict[str, Any]
    early: bool = False


Conclude = Callable[[Report], None]
CLOSING_SECONDS: Final = 0.7  # after the report of a batch that was left open


async def run(order: RunOrder) -> int:
    """Drive one batch to its end and say what came of it; returns the batch's exit code."""
    settings = load_settings()
    teller = teller_for(stderr_console(), SystemClock())
    if order.report_dir is not None:
        make_folder(order.report_dir)
    conclude = partial(_conclude, order, teller)
    if order.resume is None:
        report = await drive(await _new(order, settings, teller), teller, conclude=conclude)
    else:
        report = await _resume(order, settings, teller, conclude)
    if report.early:
        exit_now(report.view.exit_code)
    conclude(report)
    return int(report.view.exit_code)


def _conclude(order: RunOrder, teller: Teller, report: Report) -> None:
    """Everything that is said at the end."""
    if order.report_dir is not None:
        teller.note(write_reports(report.document, order.report_dir))
    if order.as_json:
        print_json(report.document)
    else:
        print_report(stdout_console(), report.document)


async def drive(assignment: Assignment, teller: Teller, *, conclude: Conclude | None = None) -> Report:
    """Check, create (unless it is resumed), drive; signals stop it in steps.

    Where time is up, `conclude` comes before anything is closed, and closing may not take long.
    """
    for note in check_keys(assignment.plan, assignment.settings):
        teller.note(f"note: {note}")
    looks: list[Look] = []
    with Interruption(leaving=lambda: _leave(teller, looks)) as interruption:
        async with open_worker(
            assignment.settings,
            command=assignment.command,
            environ=assignment.environ,
            listener=teller.heard,
            speed=assignment.speed,
        ) as worker:
            await _check_remotes(assignment, worker, teller)
            interruption.hold()  # from here on there is something to end: what an earlier process left
            await _end_leftovers(worker, teller, but=assignment.batch_id)
            batch_id = await _batch_id(assignment, worker, teller)
            looks.append(partial(live_view, worker, batch_id))
            stopping = Stopping(worker, batch_id, teller, drain=assignment.drain)
            left = await _drive_to_end(worker, batch_id, teller, interruption, stopping)
            view = left or await view_batch(worker.store, batch_id)
            if left is None:
                await tell_outside(worker, assignment.environ, teller, interruption, batch_id)
            document = report_document(view, result_url=worker.remotes.cekura.result_url)
            report = Report(view=view, document=document, early=left is not None)
            if report.early and conclude is not None:
                conclude(report)
                end_within(CLOSING_SECONDS, report.view.exit_code)
            return report


async def _drive_to_end(
    worker: Worker, batch_id: str, teller: Teller, interruption: Interruption, stopping: Stopping
) -> BatchView | None:
    """Drive a batch until it is closed; a view of it as it stands where there was no time for that."""
    look = partial(live_view, worker, batch_id)
    try:
        async with interruption.answering(*stopping.answers), teller.following(look):
            return await stopping.follow(asyncio.create_task(run_batch(worker, batch_id), name=f"drive {batch_id}"))
    except OrchestratorError as error:
        raise Underway(error, batch_id=batch_id) from error


async def _new(order: RunOrder, settings: Settings, teller: Teller) -> Assignment:
    if order.plan is None:
        raise InvalidSettings(
            "there is no PLAN to run", next_step="Name a plan file, or continue an open batch with --resume."
        )
    loaded = load_plan(
        order.plan,
        overrides=order.overrides,
        environ=os.environ,
        data_message_limit=settings.data_message_limit,
    )
    if order.time_scale != 1:
        check_time_scale(settings, agent_url=loaded.plan.agent.url)
    loaded = await resolve_alone(loaded, settings, clock=SystemClock(), speed=order.time_scale)
    for warning in loaded.warnings:
        teller.note(f"warning: {warning}")
    confirm(loaded.plan, above=settings.confirm_above, yes=order.yes)
    return Assignment(
        command=f"orchestrator run {order.plan}",
        settings=settings,
        environ=os.environ,
        plan=loaded.plan,
        speed=order.time_scale,
        loaded=loaded,
        drain=order.drain,
    )


async def _resume(order: RunOrder, settings: Settings, teller: Teller, conclude: Conclude) -> Report:
    if order.overrides or order.time_scale != 1:
        raise InvalidSettings(
            "--set and --time-scale do not go with --resume: a batch keeps the plan and pace it began with",
            next_step="Leave them out, or run the plan anew.",
        )
    if order.plan is not None:
        teller.note("note: the plan file is not read; the batch continues with the plan it began with")
    async with open_reader(settings) as store:
        view = await view_batch(store, await resolve_batch_id(store, order.resume or ""))
    batch = view.batch
    if batch.status is BatchStatus.CLOSED:
        teller.note(f"batch {batch.batch_id} is closed already; this is its report")
        async with result_links(settings) as links:
            return Report(view=view, document=report_document(view, result_url=links))
    if batch.cancel_asked_at is not None:
        teller.note(f"batch {batch.batch_id} was cancelled ({batch.cancel_reason}): it is only torn down")
    elif batch.stopped:
        teller.note(f"batch {batch.batch_id}: {batch.stopped}; calls under way finish, and nothing more is begun")
    check_variables(view.plan, os.environ)
    if batch.speed != 1:
        check_time_scale(settings, agent_url=view.plan.agent.url)
    assignment = Assignment(
        command=f"orchestrator run --resume {batch.batch_id}",
        settings=settings,
        environ=os.environ,
        plan=view.plan,
        speed=batch.speed,
        batch_id=batch.batch_id,
        drain=order.drain,
    )
    return await drive(assignment, teller, conclude=conclude)


async def _check_remotes(assignment: Assignment, worker: Worker, teller: Teller) -> None:
    """A new batch is not begun against a remote in trouble; one that was begun has sessions to end, and goes on."""
    try:
        await check_remotes(assignment.plan, worker.remotes)
    except RemoteError as error:
        if assignment.batch_id is not None:
            teller.note(f"note: {error}; the batch goes on, and asks again")
            return
        error.next_step = f"Nothing was started. {error.next_step}".rstrip()
        raise


async def _end_leftovers(worker: Worker, teller: Teller, *, but: str | None) -> None:
    for view in await cancel_leftovers(worker, but=but):
        teller.note(leftover_text(view))


def leftover_text(view: BatchView) -> str:
    """How an earlier process left a batch, and what happens to it now."""
    statuses = [run.status for run in view.runs]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    alive = len(unsettled_of(view.sessions))
    return (
        f"batch {view.batch.batch_id} ({view.batch.name}) was left open by an earlier process: runs {counts}; "
        f"{counted(alive, 'session')} may be alive. It is cancelled and torn down now; "
        f"`orchestrator run --resume {view.batch.batch_id}`, run first, would have continued it."
    )


async def _batch_id(assignment: Assignment, worker: Worker, teller: Teller) -> str:
    batch_id = assignment.batch_id
    if batch_id is None and assignment.loaded is not None:
        batch_id = (await create_batch(worker, assignment.loaded, speed=assignment.speed)).batch_id
    assert batch_id is not None  # noqa: S101  an assignment has one or the other
    runs = assignment.plan.run_count
    teller.begin(batch_id, runs=runs)
    hurried = f", {assignment.speed:g} times faster than life" if assignment.speed != 1 else ""
    plan = assignment.plan
    teller.note(f"batch {batch_id}: {counted(runs, 'run')} of {plan.name} with {plan.agent.label}{hurried}")
    return batch_id


def _leave(teller: Teller, looks: Sequence[Look]) -> None:
    teller.abandon()
    alive = sum(len(unsettled_of(view.sessions)) for look in looks if (view := look()) is not None)
    teller.note(
        f"left at once; {counted(alive, 'session')} may be alive: `orchestrator gc` ends calls and tears them down"
    )
