"""Schedules for a person: what is due when, what became of it, and the words that steer them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from orchestrator.app import schedules as cases
from orchestrator.app.reading import open_reader, state_exists
from orchestrator.app.schedule_documents import fire_answer, rule_answer, schedule_answer, upcoming_answer
from orchestrator.app.schedules import ScheduleView, Upcoming, upcoming_of
from orchestrator.app.selection import resolve_alone
from orchestrator.cli.console import duration, local_moment, stdout_console
from orchestrator.cli.edge import print_json
from orchestrator.cli.tables import counted, new_table
from orchestrator.cli.tokens import command_actor
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import InvalidSettings
from orchestrator.domain.schedule import Fire, FireDecision, Overlap, Schedule
from orchestrator.plans import load_service
from orchestrator.settings import load_settings

MOMENT: Final = "%a %Y-%m-%d %H:%M:%S"


async def list_schedules(*, as_json: bool) -> int:
    """Every schedule with its next fire and its last."""
    settings = load_settings()
    views: list[ScheduleView] = []
    if state_exists(settings):
        async with open_reader(settings) as store:
            views = await cases.list_schedules(store, clock=SystemClock())
    if as_json:
        print_json({"schedules": [schedule_answer(view) for view in views]})
        return 0
    table = new_table("schedule", "due", "status", "next fire", "last fire", "became", "batch")
    for view in views:
        last = view.fires[0] if view.fires else None
        table.add_row(
            view.record.name,
            Text(_rule(view.schedule)),
            _status(view),
            _next(view),
            local_moment(last.due_at if last else None),
            last.decision.value if last else "-",
            (last.batch_id if last else None) or "-",
        )
    stdout_console().print(table)
    return 0


async def show_schedule(name: str, *, as_json: bool) -> int:
    """One schedule with what comes and what was."""
    async with open_reader(load_settings()) as store:
        view = await cases.show_schedule(store, name, clock=SystemClock())
    if as_json:
        print_json(schedule_answer(view))
    else:
        _print_view(stdout_console(), view)
    return 0


async def pause(name: str, *, as_json: bool) -> int:
    """Let it rest."""
    async with open_reader(load_settings()) as store:
        view = await cases.pause_schedule(store, name, clock=SystemClock(), actor=command_actor())
    return _say(view, f"schedule {name}: paused; `orchestrator schedules resume {name}` lets it fire again", as_json)


async def resume(name: str, *, as_json: bool) -> int:
    """Let it fire again."""
    async with open_reader(load_settings()) as store:
        view = await cases.resume_schedule(store, name, clock=SystemClock(), actor=command_actor())
    return _say(view, f"schedule {name}: fires again; next: {_next(view)}", as_json)


async def fire(name: str, *, overlap: str | None, as_json: bool) -> int:
    """Fire it once."""
    if overlap is not None and overlap not in {one.value for one in Overlap}:
        words = ", ".join(one.value for one in Overlap)
        raise InvalidSettings(f"--overlap must be one of {words}, not {overlap!r}", next_step="Choose one of these.")
    settings, clock = load_settings(), SystemClock()
    resolve = partial(resolve_alone, settings=settings, clock=clock)
    async with open_reader(settings) as store:
        rule = Overlap(overlap) if overlap is not None else None
        fired, _new = await cases.fire_now(
            store, name, clock=clock, environ=None, actor=command_actor(), overlap=rule, resolve=resolve
        )
    if as_json:
        print_json(fire_answer(fired))
    else:
        stdout_console().print(_fired_text(fired), soft_wrap=True)
    return 0


async def check(path: Path, *, as_json: bool) -> int:
    """A service file, read to its end."""
    settings, now = load_settings(), SystemClock().now()
    service = load_service(path, environ=os.environ, data_message_limit=settings.data_message_limit)
    coming = {schedule.name: upcoming_of(schedule, now) for schedule in service.schedules}
    if as_json:
        print_json(
            {
                "schedules": [_checked(schedule, coming[schedule.name]) for schedule in service.schedules],
                "pools": [pool.name for pool in service.pools],
                "warnings": list(service.warnings),
            }
        )
        return 0
    console = stdout_console()
    counts = f"{counted(len(service.schedules), 'schedule')}, {counted(len(service.pools), 'pool')}"
    console.print(f"{path}: {counts}. Nothing was started.", soft_wrap=True)
    for schedule in service.schedules:
        console.print(f"\n{schedule.name}: {_rule(schedule)}", soft_wrap=True)
        _print_upcoming(console, schedule, coming[schedule.name])
    for warning in service.warnings:
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)
    return 0


def _checked(schedule: Schedule, coming: Sequence[Upcoming]) -> Mapping[str, Any]:
    upcoming = [upcoming_answer(one, schedule) for one in coming]
    return {"name": schedule.name, "paused": schedule.paused, **rule_answer(schedule), "next": upcoming}


def _say(view: ScheduleView, text: str, as_json: bool) -> int:
    if as_json:
        print_json(schedule_answer(view))
    else:
        stdout_console().print(text, soft_wrap=True)
    return 0


def _fired_text(fire: Fire) -> str:
    if fire.decision is FireDecision.FIRED:
        return f"schedule {fire.schedule}: batch {fire.batch_id} waits for a worker to take it"
    return f"schedule {fire.schedule}: {fire.decision.value}: {fire.reason}"


def _print_view(console: Console, view: ScheduleView) -> None:
    answer, schedule = schedule_answer(view), view.schedule
    console.print(f"{view.record.name}: {_rule(schedule)}; {_status(view)}", soft_wrap=True)
    if schedule is None:
        console.print(f"trouble: {view.trouble}", soft_wrap=True)
        return
    plan = answer["plan"]
    if plan is not None:
        runs = "what it selects" if plan["runs"] is None else counted(plan["runs"], "run")
        console.print(f"plan {plan['name']}: {runs} with {plan['agent']}", soft_wrap=True)
    console.print(
        f"overlap {schedule.overlap.value}; missed {schedule.missed.value}, within {duration(schedule.window)};"
        f" jitter {duration(schedule.jitter)}; {counted(len(schedule.blackouts), 'blackout')}"
    )
    console.print()
    _print_upcoming(console, schedule, view.upcoming)
    if view.fires:
        console.print()
        console.print(_fires_table(schedule, view.fires))


def _print_upcoming(console: Console, schedule: Schedule, coming: Sequence[Upcoming]) -> None:
    table = new_table(f"due in {schedule.timezone}", "begins in UTC, after its jitter", "")
    for one in coming:
        due, begins = one.occurrence.due_at, one.occurrence.begins_at
        dark = "blacked out" if one.blacked_out else ""
        table.add_row(f"{due.astimezone(schedule.zone):{MOMENT} %z}", f"{begins:{MOMENT}}", dark)
    console.print(table)


def _fires_table(schedule: Schedule, fires: Sequence[Fire]) -> Any:
    table = new_table("was due", "became", "batch", "reason")
    for fire in fires:
        due = f"{fire.due_at.astimezone(schedule.zone):{MOMENT}}"
        manual = " (by hand)" if fire.manual else ""
        table.add_row(due, f"{fire.decision.value}{manual}", fire.batch_id or "-", Text(fire.reason))
    return table


def _rule(schedule: Schedule | None) -> str:
    if schedule is None:
        return "cannot be read"
    if schedule.every is not None:
        return f"every {duration(schedule.every)}"
    return f"{schedule.cron} {schedule.timezone}"


def _status(view: ScheduleView) -> str:
    if view.trouble:
        return "trouble"
    return f"paused by {view.record.paused_by}" if view.record.paused_at else "on"


def _next(view: ScheduleView) -> str:
    return local_moment(view.next_fire.occurrence.begins_at if view.next_fire else None)
