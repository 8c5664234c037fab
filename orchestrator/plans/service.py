"""From a service file to the schedules and pools of a worker, or to every problem it has, its plans' included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from orchestrator.domain.errors import InvalidPlan, Problem
from orchestrator.domain.pool import PoolSpec
from orchestrator.domain.schedule import Schedule
from orchestrator.plans.finding import Finding, Place, dotted
from orchestrator.plans.loading import DATA_MESSAGE_LIMIT, LoadedPlan, load_plan, text_of
from orchestrator.plans.pools import pool_findings, pool_of
from orchestrator.plans.refusals import Shape, shape_findings
from orchestrator.plans.schedules import refusal, schedule_findings, schedule_of
from orchestrator.plans.service_model import SERVICE_SECTIONS, ServiceSection
from orchestrator.plans.source import Source, parse

ROOT: Final = "file"  # what a problem of the whole file is a problem of
MEND: Final = "Mend the lines above; `orchestrator schedules check FILE` checks again without starting anything."
SHAPE: Final = Shape(root=ServiceSection, sections=SERVICE_SECTIONS, what="the file", not_built=MappingProxyType({}))

_NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
_SMALLEST: Final = "a service file is a mapping: version: 1, schedules: [{name: ..., plan: plan.yaml, cron: ...}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFile:
    """What a worker is told to do by itself; `warnings` are its plans', each under its schedule's name."""

    schedules: tuple[Schedule, ...]
    pools: tuple[PoolSpec, ...]
    warnings: tuple[str, ...]


def load_service(
    path: Path, *, environ: Mapping[str, str] = _NO_VARIABLES, data_message_limit: int = DATA_MESSAGE_LIMIT
) -> ServiceFile:
    """Read and check a service file and the plans it names; InvalidPlan carries every problem with its line.

    Plans are found beside the file. `environ` is where the variables of their `env` come from.
    """
    try:
        source = parse(text_of(path))
    except InvalidPlan as error:
        raise refusal((replace(problem, path=ROOT) for problem in error.problems), next_step=MEND) from error
    if not isinstance(source.data, dict):
        problems = [replace(problem, path=ROOT) for problem in source.problems] or [_not_a_file(source.data)]
        raise refusal(problems, next_step=MEND)
    plans = _Plans(folder=path.parent, variables=environ, data_message_limit=data_message_limit)
    problems = [*_problems(source), *plans.read(source)]
    if problems:
        raise refusal(plans.in_order(problems), next_step=MEND)
    file = ServiceSection.model_validate(source.data)
    loaded = [plans.loaded[section.plan] for section in file.schedules]
    return ServiceFile(
        schedules=tuple(
            schedule_of(section, plan.document) for section, plan in zip(file.schedules, loaded, strict=True)
        ),
        pools=tuple(pool_of(section) for section in file.pools),
        warnings=tuple(
            f"{section.name}: {warning}"
            for section, plan in zip(file.schedules, loaded, strict=True)
            for warning in plan.warnings
        ),
    )


def _not_a_file(data: Any) -> Problem:
    message = "is empty" if data is None else f"is a {type(data).__name__}, not a mapping of keys to values"
    return Problem(path=ROOT, message=message, line=1, remedy=_SMALLEST)


def _problems(source: Source) -> Iterator[Problem]:
    yield from source.problems
    for finding in [*shape_findings(source.data, SHAPE), *_findings(source.data)]:
        yield Problem(
            path=dotted(finding.place) if finding.place else ROOT,
            message=finding.message,
            line=source.line_of(finding.place),
            remedy=finding.remedy,
        )


def _findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    for place, entry in _entries(data, "schedules"):
        yield from schedule_findings(entry, place)
    for place, entry in _entries(data, "pools"):
        yield from pool_findings(entry, place)
    for key in ("schedules", "pools"):
        yield from _name_findings(data, key)


def _name_findings(data: Mapping[str, Any], key: str) -> Iterator[Finding]:
    seen: set[str] = set()
    for place, entry in _entries(data, key):
        name = entry.get("name")
        if isinstance(name, str) and name in seen:
            message = f"{name} is the name of an earlier one of the {key}"
            yield Finding(place=(*place, "name"), message=message, remedy="give each a name of its own")
        elif isinstance(name, str):
            seen.add(name)


def _entries(data: Mapping[str, Any], key: str) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    entries = data.get(key)
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, dict):
            yield (key, index), entry


@dataclass(slots=True, kw_only=True)
class _Plans:
    """The plans a file names, each read once; their problems stand where the file first names them."""

    folder: Path
    variables: Mapping[str, str]
    data_message_limit: int
    loaded: dict[str, LoadedPlan] = field(default_factory=dict)
    named_on: dict[Problem, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def read(self, source: Source) -> Iterator[Problem]:
        for place, entry in _entries(source.data, "schedules"):
            written = entry.get("plan")
            line = source.line_of((*place, "plan")) or 1
            if isinstance(written, str):
                yield from self._read(written, line)
            elif "plan" in entry:
                remedy = "write plan: nightly-plan.yaml"
                message = "must be the path of a plan, beside this file"
                yield Problem(path=dotted((*place, "plan")), message=message, line=line, remedy=remedy)

    def _read(self, written: str, line: int) -> Iterator[Problem]:
        if written in self.loaded or written in self.refused:
            return
        try:
            self.loaded[written] = load_plan(
                self.folder / written, environ=self.variables, data_message_limit=self.data_message_limit
            )
        except InvalidPlan as error:
            self.refused.add(written)
            for problem in error.problems:
                path = written if problem.path == "plan" else f"{written} {problem.path}"
                ours = replace(problem, path=path)
                self.named_on[ours] = line
                yield ours

    def in_order(self, problems: list[Problem]) -> list[Problem]:
        """In the order of the service file; a plan's own problems keep their order."""
        return sorted(problems, key=lambda problem: self.named_on.get(problem, problem.line or 0))
