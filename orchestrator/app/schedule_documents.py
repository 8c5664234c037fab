"""Schedules and fires as JSON documents: what `--json` prints and the HTTP API answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from orchestrator.app.schedules import ScheduleView, Upcoming
from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.schedule import Blackout, Fire, Schedule
from orchestrator.plans import plan_from_document
from orchestrator.plans.timetable import WEEKDAYS, time_of_day

RULE: Final = ("cron", "every", "timezone", "jitter", "overlap", "missed", "window", "blackouts", "plan")


def schedule_answer(view: ScheduleView) -> dict[str, Any]:
    """A schedule with its next occurrences and latest fires; times are ISO, in UTC where not said to be local.

    Its rule is null throughout where it cannot be read; `trouble` says why.
    """
    record, schedule = view.record, view.schedule
    return {
        "name": record.name,
        "made_by": record.made_by.value,
        "paused_at": _iso(record.paused_at),
        "paused_by": record.paused_by,
        "created_at": _iso(record.created_at),
        "updated_at": _iso(record.updated_at),
        "trouble": view.trouble or None,
        **(rule_answer(schedule) if schedule is not None else dict.fromkeys(RULE)),
        "next": [upcoming_answer(one, schedule) for one in view.upcoming if schedule is not None],
        "fires": [fire_answer(fire) for fire in view.fires],
    }


def rule_answer(schedule: Schedule) -> dict[str, Any]:
    """What a schedule was told; its plan by name, digest and size."""
    return {
        "cron": schedule.cron,
        "every": schedule.every,
        "timezone": schedule.timezone,
        "jitter": schedule.jitter,
        "overlap": schedule.overlap.value,
        "missed": schedule.missed.value,
        "window": schedule.window,
        "blackouts": [_blackout(one) for one in schedule.blackouts],
        "plan": _plan(schedule),
    }


def _plan(schedule: Schedule) -> dict[str, Any] | None:
    try:
        plan = plan_from_document(schedule.plan_document)
    except StateUnusable:
        return None  # a fire says so, too
    runs = None if plan.selections else plan.run_count  # what it selects is looked up at each fire
    return {"name": plan.name, "digest": plan.digest, "runs": runs, "agent": plan.agent.label}


def upcoming_answer(one: Upcoming, schedule: Schedule) -> dict[str, Any]:
    """An occurrence to come; `begins_at` is later than `due_at` by its jitter."""
    return {
        "due_at": _iso(one.occurrence.due_at),
        "due_local": one.occurrence.due_at.astimezone(schedule.zone).isoformat(),
        "begins_at": _iso(one.occurrence.begins_at),
        "blacked_out": one.blacked_out,
    }


def fire_answer(fire: Fire) -> dict[str, Any]:
    """What became of one occurrence."""
    return {
        "id": fire.fire_id,
        "schedule": fire.schedule,
        "due_at": _iso(fire.due_at),
        "decision": fire.decision.value,
        "reason": fire.reason,
        "decided_at": _iso(fire.decided_at),
        "batch": fire.batch_id,
        "manual": fire.manual,
    }


def _blackout(one: Blackout) -> dict[str, Any]:
    if one.begins is not None:
        return {"from": _iso(one.begins), "until": _iso(one.ends)}
    return {
        "days": [WEEKDAYS[day] for day in one.days],
        "from": time_of_day(one.daily_from),
        "until": time_of_day(one.daily_until),
    }


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at is not None else None
