"""Schedules as they are written, in a service file or as JSON, and as they are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from orchestrator.domain.errors import InvalidPlan, Problem, StateUnusable
from orchestrator.domain.schedule import Blackout, Missed, Overlap, Schedule
from orchestrator.plans.calendar import cron_trouble
from orchestrator.plans.finding import Finding, Place, dotted
from orchestrator.plans.loading import DATA_MESSAGE_LIMIT, plan_from_data
from orchestrator.plans.refusals import Shape, shape_findings
from orchestrator.plans.service_model import BlackoutSection, ScheduleSection
from orchestrator.plans.source import from_json
from orchestrator.plans.timetable import (
    MINUTES_OF_A_DAY,
    TIME_OF_DAY,
    days_of,
    local_moment,
    minutes_of,
    seconds_of,
    zone_trouble,
)

FORMAT: Final = 1
BOTH: Final = 2  # ends of a blackout
MEND: Final = "Mend what is named above, and send it again; nothing was changed."
SHAPE: Final = Shape(
    root=ScheduleSection, sections={"blackouts": BlackoutSection}, what="the schedule", not_built=MappingProxyType({})
)

_NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
_SCHEDULES: Final = TypeAdapter(Schedule)


def schedule_from_mapping(
    data: Any, *, environ: Mapping[str, str] = _NO_VARIABLES, data_message_limit: int = DATA_MESSAGE_LIMIT
) -> Schedule:
    """A schedule that came as JSON, its plan inline under `plan`; InvalidPlan carries every problem, without lines."""
    problems, loaded = list(from_json(data, root="schedule").problems), None
    if not problems and not isinstance(data, dict):
        problems.append(
            Problem(path="schedule", message="is not a mapping of keys to values", remedy="name, cron, plan")
        )
    if not problems:
        problems += problems_at(shape_findings(data, SHAPE), schedule_findings(data, ()), root="schedule")
        if isinstance(data.get("plan"), dict):
            try:
                name = data["name"] if isinstance(data.get("name"), str) else "plan"
                loaded = plan_from_data(data["plan"], name=name, environ=environ, data_message_limit=data_message_limit)
            except InvalidPlan as error:
                problems += [_within_plan(problem) for problem in error.problems]
        elif "plan" in data:
            problems.append(Problem(path="plan", message="must be a plan: a mapping of keys to values"))
    if problems or loaded is None:
        raise refusal(problems, next_step=MEND)
    return schedule_of(ScheduleSection.model_validate(data), loaded.document)


def problems_at(*findings: Iterable[Finding], root: str) -> Iterator[Problem]:
    """Findings as problems without lines; what is wrong with the whole is called `root`."""
    for several in findings:
        for finding in several:
            path = dotted(finding.place) if finding.place else root
            yield Problem(path=path, message=finding.message, remedy=finding.remedy)


def refusal(problems: Iterable[Problem], *, next_step: str) -> InvalidPlan:
    """All of them, each once."""
    error = InvalidPlan(tuple(dict.fromkeys(problems)))
    error.next_step = next_step
    return error


def _within_plan(problem: Problem) -> Problem:
    path = "plan" if problem.path == "plan" else f"plan.{problem.path}"
    return Problem(path=path, message=problem.message, remedy=problem.remedy)


def schedule_document(schedule: Schedule) -> dict[str, Any]:
    """The schedule as JSON, to keep."""
    return {"format": FORMAT, "schedule": _SCHEDULES.dump_python(schedule, mode="json")}


def schedule_from_document(document: Mapping[str, Any]) -> Schedule:
    """The schedule that `schedule_document` wrote; StateUnusable for anything else."""
    if document.get("format") != FORMAT:
        raise StateUnusable(
            f"the stored schedule has format {document.get('format')!r}, and this version reads {FORMAT}"
        )
    try:
        return _SCHEDULES.validate_python(document["schedule"])
    except (KeyError, ValidationError) as error:
        raise StateUnusable("the stored schedule is damaged or incomplete") from error


def schedule_of(section: ScheduleSection, plan_document: Mapping[str, Any]) -> Schedule:
    """A checked section as a value."""
    zone = ZoneInfo(section.timezone)
    return Schedule(
        name=section.name,
        plan_document=plan_document,
        cron=section.cron,
        every=section.every,
        timezone=section.timezone,
        jitter=section.jitter,
        overlap=Overlap(section.overlap),
        missed=Missed(section.missed),
        window=section.window,
        blackouts=tuple(blackout for one in section.blackouts for blackout in _blackouts(one, zone)),
        paused=section.paused,
    )


def _blackouts(section: BlackoutSection, zone: ZoneInfo) -> Iterator[Blackout]:
    """One, or two for a time that goes on after midnight."""
    if section.days is None:
        begins, ends = (local_moment(text or "") for text in (section.begins, section.ends))
        if begins is not None and ends is not None:
            yield Blackout(begins=_utc(begins, zone), ends=_utc(ends, zone))
        return
    days = days_of(section.days)
    begin, end = minutes_of(section.begins or "00:00"), minutes_of(section.ends or "24:00")
    if begin < end:
        yield Blackout(days=days, daily_from=begin, daily_until=end)
        return
    yield Blackout(days=days, daily_from=begin)
    if end:
        yield Blackout(days=tuple(sorted((day + 1) % 7 for day in days)), daily_until=end)


def _utc(local: datetime, zone: ZoneInfo) -> datetime:
    return local.replace(tzinfo=zone).astimezone(UTC)


def schedule_findings(data: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    """What must hold between the keys of the schedule at `place`; silent about parts whose shape is refused."""
    yield from _rule_findings(data, place)
    yield from timezone_findings(data, place)
    yield from _jitter_findings(data, place)
    blackouts = data.get("blackouts")
    for index, blackout in enumerate(blackouts if isinstance(blackouts, list) else []):
        if isinstance(blackout, dict):
            yield from _blackout_findings(blackout, (*place, "blackouts", index))


def timezone_findings(data: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    """A timezone nobody knows, with the nearest one."""
    name = data.get("timezone")
    if isinstance(name, str) and (trouble := zone_trouble(name)) is not None:
        yield Finding(place=(*place, "timezone"), message=trouble[0], remedy=trouble[1])


def _rule_findings(data: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    cron, every = data.get("cron"), data.get("every")
    if cron is not None and every is not None:
        yield Finding(place=(*place, "every"), message="does not go with cron", remedy="leave one of them out")
    if cron is None and every is None:
        remedy = 'add cron: "0 2 * * *", or every: 15m'
        yield Finding(place=place, message="does not say when it is due", remedy=remedy)
    if isinstance(cron, str) and (message := cron_trouble(cron)) is not None:
        remedy = 'write cron: "0 2 * * mon-fri" (minute, hour, day of month, month, day of week)'
        yield Finding(place=(*place, "cron"), message=message, remedy=remedy)


def _jitter_findings(data: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    jitter, every = length_of(data.get("jitter")), length_of(data.get("every"))
    if jitter is not None and every is not None and jitter > every:
        message = f"spreads fires over {jitter:g} s, and they are due every {every:g} s"
        yield Finding(place=(*place, "jitter"), message=message, remedy="keep it within the interval")


def length_of(value: Any) -> float | None:
    """Seconds of what may be a length of time as it is written; None where it is none."""
    try:
        seconds = seconds_of(value)
    except ValueError:
        return None
    return seconds if isinstance(seconds, int | float) and not isinstance(seconds, bool) else None


def _blackout_findings(data: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    if data.get("days") is not None:
        yield from _weekly_findings(data, place)
        return
    moments: dict[str, datetime] = {}
    for key in ("from", "until"):
        remedy = f'write {key}: "2026-12-24T00:00" (local, without an offset)'
        if data.get(key) is None:
            yield Finding(place=(*place, key), message="is missing: a blackout has both ends, or days", remedy=remedy)
        elif isinstance(text := data[key], str):
            moment = local_moment(text)
            if moment is None:
                yield Finding(place=(*place, key), message=f"{text!r} is no local date and time", remedy=remedy)
            else:
                moments[key] = moment
    if len(moments) == BOTH and moments["until"] <= moments["from"]:
        yield Finding(place=(*place, "until"), message="is not later than from", remedy="let it end after it begins")


def _weekly_findings(data: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    times: dict[str, int] = {}
    for key, default in (("from", "00:00"), ("until", "24:00")):
        text = data.get(key, default)
        if isinstance(text, str) and re.match(TIME_OF_DAY, text):
            times[key] = minutes_of(text)
        elif isinstance(text, str):
            remedy = f'write {key}: "22:00"'
            yield Finding(
                place=(*place, key), message=f"{text!r} is no time of day; with days it must be", remedy=remedy
            )
    if len(times) == BOTH and times["from"] in {times["until"], MINUTES_OF_A_DAY}:
        yield Finding(
            place=(*place, "until"), message="leaves no time after from", remedy="leave both out for whole days"
        )
