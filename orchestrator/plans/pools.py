"""Pools as they are written, in a service file or as JSON, and as they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from orchestrator.domain.errors import Problem, StateUnusable
from orchestrator.domain.pool import OpenHours, PoolSpec
from orchestrator.plans.finding import Finding, Place
from orchestrator.plans.loading import agent_of
from orchestrator.plans.model import AgentSection
from orchestrator.plans.refusals import Shape, shape_findings
from orchestrator.plans.rooms import property_findings, room_seconds_of
from orchestrator.plans.rules import agent_findings, lifetime_trouble
from orchestrator.plans.schedules import MEND, length_of, problems_at, refusal, timezone_findings
from orchestrator.plans.service_model import HoursSection, PoolSection
from orchestrator.plans.source import from_json
from orchestrator.plans.template import templates_in
from orchestrator.plans.timetable import days_of, minutes_of

FORMAT: Final = 1
TEARDOWN_GRACE: Final = 2.0
SHAPE: Final = Shape(
    root=PoolSection,
    sections={"agent": AgentSection, "hours": HoursSection},
    what="the pool",
    not_built=MappingProxyType({}),
)

_POOLS: Final = TypeAdapter(PoolSpec)
_DEFAULTS: Final = {name: field.default for name, field in PoolSection.model_fields.items()}


def pool_from_mapping(data: Any) -> PoolSpec:
    """A pool that came as JSON; InvalidPlan carries every problem, without lines."""
    problems = list(from_json(data, root="pool").problems)
    if not problems and not isinstance(data, dict):
        problems.append(
            Problem(path="pool", message="is not a mapping of keys to values", remedy="name, agent, min_ready")
        )
    if not problems:
        problems += problems_at(shape_findings(data, SHAPE), pool_findings(data, ()), root="pool")
    if problems:
        raise refusal(problems, next_step=MEND)
    return pool_of(PoolSection.model_validate(data))


def pool_document(pool: PoolSpec) -> dict[str, Any]:
    """The pool as JSON, to keep."""
    return {"format": FORMAT, "pool": _POOLS.dump_python(pool, mode="json")}


def pool_from_document(document: Mapping[str, Any]) -> PoolSpec:
    """The pool that `pool_document` wrote; StateUnusable for anything else."""
    if document.get("format") != FORMAT:
        raise StateUnusable(f"the stored pool has format {document.get('format')!r}, and this version reads {FORMAT}")
    try:
        return _POOLS.validate_python(document["pool"])
    except (KeyError, ValidationError) as error:
        raise StateUnusable("the stored pool is damaged or incomplete") from error


def pool_of(section: PoolSection) -> PoolSpec:
    """A checked section as a value."""
    return PoolSpec(
        name=section.name,
        agent=agent_of(section.agent),
        min_ready=section.min_ready,
        max_alive=section.max_alive,
        max_age=section.max_age,
        check_every=section.check_every,
        starts_per_minute=section.starts_per_minute,
        ready=section.ready,
        run=section.run,
        timezone=section.timezone,
        hours=tuple(
            OpenHours(days=days_of(one.days or ()), opens=minutes_of(one.open), closes=minutes_of(one.close))
            for one in section.hours
        ),
    )


def pool_findings(data: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    """What must hold between the keys of the pool at `place`; silent about parts whose shape is refused."""
    yield from _size_findings(data, place)
    yield from _age_findings(data, place)
    yield from timezone_findings(data, place)
    yield from _hours_findings(data, place)
    if isinstance(agent := data.get("agent"), dict):
        for finding in _agent_findings(agent):
            yield Finding(place=(*place, *finding.place), message=finding.message, remedy=finding.remedy)


def _size_findings(data: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    ready, alive = data.get("min_ready"), data.get("max_alive")
    if isinstance(ready, int) and isinstance(alive, int) and ready > alive:
        message = f"keeps {ready} ready where at most {alive} may be alive"
        yield Finding(place=(*place, "min_ready"), message=message, remedy="lower it, or raise max_alive")


def _age_findings(data: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    lengths = {name: length_of(data.get(name, _DEFAULTS[name])) for name in ("max_age", "idle_timeout", "ready", "run")}
    age, idle, ready, run = lengths.values()
    if age is not None and idle is not None and age >= idle:
        message = f"is {age:g} s, and the bot gives up by itself after {idle:g} s (idle_timeout)"
        remedy = "let sessions be replaced before their bots give up: max_age below idle_timeout"
        yield Finding(place=(*place, "max_age"), message=message, remedy=remedy)
    if age is None or ready is None or run is None:
        return
    seconds = room_seconds_of(ready=ready, run=run, gather=age, teardown_grace=TEARDOWN_GRACE)
    agent = data.get("agent")
    if (trouble := lifetime_trouble(seconds, agent.get("kind") if isinstance(agent, dict) else None)) is not None:
        message, surplus = trouble
        remedy = f"lower run, ready or max_age by {surplus:g} s or more"
        yield Finding(place=(*place, "run"), message=message, remedy=remedy)


def _hours_findings(data: Mapping[str, Any], place: Place) -> Iterator[Finding]:
    hours = data.get("hours")
    for index, one in enumerate(hours if isinstance(hours, list) else []):
        try:
            section = HoursSection.model_validate(one)
        except ValidationError:
            continue
        if minutes_of(section.close) <= minutes_of(section.open):
            yield Finding(
                place=(*place, "hours", index, "close"),
                message=f"closes at {section.close}, not after it opens at {section.open}",
                remedy='write open and close of one day; a night is two entries, the first until "24:00"',
            )


def _agent_findings(agent: Mapping[str, Any]) -> Iterator[Finding]:
    yield from agent_findings(agent)
    yield from property_findings(agent)
    yield from _template_findings(agent)
    yield from _pool_findings(agent)


def _template_findings(agent: Mapping[str, Any]) -> Iterator[Finding]:
    """A pool's sessions start before any run takes them: there is nothing to render."""
    for place in templates_in(agent.get("body"), ("agent", "body")):
        message = "a template has no value here: a pool's sessions start before any run takes them"
        yield Finding(place=place, message=message, remedy="write the value out")


def _pool_findings(agent: Mapping[str, Any]) -> Iterator[Finding]:
    if "pool" in agent:
        message = "names a pool inside a pool: its sessions are started, not taken from another"
        yield Finding(place=("agent", "pool"), message=message, remedy="leave it out")
