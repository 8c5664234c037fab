"""A tests-as-code file, of which a plan takes the scenarios that are at Cekura under the same names.

Its shape is Cekura's (version "1", `suite`, `defaults`, `scenarios`); what it says of a conversation stays there, for a
plan names scenarios and Cekura has theirs. https://docs.cekura.ai/schemas/test-suite/v1.json
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final, Literal

from pydantic import Field

from orchestrator.domain.channel import Channel
from orchestrator.domain.errors import Problem
from orchestrator.domain.observation import AutomatedScenario
from orchestrator.plans.finding import dotted, nearest, shortened
from orchestrator.plans.importing import Imported, Wishes, plan_of_requests
from orchestrator.plans.json_text import invalid_source
from orchestrator.plans.refusals import Shape, shape_findings
from orchestrator.plans.requests import Request, Requests
from orchestrator.plans.section import Section

VERSION: Final = "1"
CASES_SHOWN: Final = 3
OF_CASES: Final = frozenset({"name", "frequency", "personality", "test_profile"})
OF_DEFAULTS: Final = frozenset({"frequency", "concurrency_limit", "personality", "test_profile"})
OF_SUITE: Final = frozenset({"name"})
BY_ID: Final = ("personality", "test_profile")
AT_CEKURA: Final = "the scenarios at Cekura have what is theirs"


class _About(Section):
    name: str | None = Field(default=None, examples=["Nightly support"])


class _Defaults(Section):
    frequency: int | None = Field(default=None, ge=1, examples=[2])
    concurrency_limit: int | None = Field(default=None, ge=1, examples=[5])


class _Case(Section):
    name: str = Field(min_length=1, examples=["Order status"])
    frequency: int | None = Field(default=None, ge=1, examples=[2])


class _SuiteFile(Section):
    version: Literal["1"] = Field(examples=["1"])
    suite: _About = Field(default_factory=_About, examples=[{"name": "Nightly support"}])
    defaults: _Defaults = Field(default_factory=_Defaults, examples=[{"frequency": 2}])
    scenarios: list[_Case] = Field(min_length=1, max_length=200, examples=[[{"name": "Order status"}]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One of its scenarios; personality and test profile where they are ids, None otherwise."""

    name: str
    frequency: int
    personality_id: int | None
    test_profile_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """What a plan can take of the file; `notes` name the rest."""

    name: str | None
    calls: int | None
    cases: tuple[Case, ...]
    notes: tuple[str, ...]


def is_suite(data: Mapping[str, Any]) -> bool:
    """Whether this is meant to be a tests-as-code file: its scenarios have names instead of ids."""
    entries = data.get("scenarios")
    named = isinstance(entries, list) and any(isinstance(one, Mapping) and "name" in one for one in entries)
    return named or "suite" in data or "defaults" in data


def read_suite(data: Mapping[str, Any]) -> Suite:
    """The file's scenarios by name; InvalidPlan with every problem."""
    if data.get("version") != VERSION:
        message = f'must be the text "{VERSION}", not {shortened(data.get("version"))}'
        raise invalid_source(Problem(path="version", message=message, remedy=f'write "version": "{VERSION}"'))
    kept = _kept(data)
    shape = Shape(root=_SuiteFile, sections={}, what="the file", not_built={})
    problems = [
        Problem(path=dotted(finding.place), message=finding.message, remedy=finding.remedy)
        for finding in shape_findings(kept, shape)
    ]
    if problems:
        raise invalid_source(*problems)
    file = _SuiteFile.model_validate(kept)
    defaults = _mapping(data.get("defaults"))
    cases = tuple(
        Case(
            name=case.name,
            frequency=case.frequency or file.defaults.frequency or 1,
            personality_id=_id(given, defaults, "personality"),
            test_profile_id=_id(given, defaults, "test_profile"),
        )
        for case, given in zip(file.scenarios, data["scenarios"], strict=True)
    )
    return Suite(name=file.suite.name, calls=file.defaults.concurrency_limit, cases=cases, notes=tuple(_left_out(data)))


def _kept(data: Mapping[str, Any]) -> dict[str, Any]:
    """The parts that have a place in a plan, as they are written; a null is as if nothing was said."""
    models: dict[str, type[Section]] = {"suite": _About, "defaults": _Defaults}
    kept = {key: value for key, value in data.items() if key in _SuiteFile.model_fields and value is not None}
    for key, model in models.items():
        if isinstance(kept.get(key), Mapping):
            kept[key] = _of_model(kept[key], model)
    if isinstance(kept.get("scenarios"), list):
        kept["scenarios"] = [_of_model(one, _Case) if isinstance(one, Mapping) else one for one in kept["scenarios"]]
    return kept


def _of_model(value: Mapping[str, Any], model: type[Section]) -> dict[str, Any]:
    return {key: one for key, one in value.items() if key in model.model_fields and one is not None}


def _left_out(data: Mapping[str, Any]) -> Iterator[str]:
    for key in data:
        if key not in _SuiteFile.model_fields:
            yield f"{key} is left out: it is no field of such a file that is known here"
    for section, taken in (("suite", OF_SUITE), ("defaults", OF_DEFAULTS)):
        for key in _mapping(data.get(section)):
            if key not in taken or not _taken(key, _mapping(data[section])[key]):
                yield f"{section}.{key} is left out: {AT_CEKURA}"
    holders: dict[str, list[str]] = {}
    for case in data["scenarios"]:
        for key in case:
            if key not in OF_CASES or not _taken(key, case[key]):
                holders.setdefault(key, []).append(case["name"])
    for key, names in holders.items():
        yield f"{key} of {_listed(names)} is left out: {AT_CEKURA}"


def _taken(key: str, value: Any) -> bool:
    """A personality or test profile that is written out, not named by its id, has no place in a plan."""
    return key not in BY_ID or value is None or _id({key: value}, {}, key) is not None


def plan_of_suite(
    suite: Suite, at_cekura: Iterable[tuple[int, str]], wishes: Wishes, *, partial: bool = False
) -> Imported:
    """The plan that runs the suite's scenarios of `at_cekura` (id and name of every one of the agent's).

    InvalidPlan names those that are not there, or not there once; with `partial` a note does, if any is left.
    """
    ids: dict[str, list[int]] = {}
    for scenario_id, name in at_cekura:
        ids.setdefault(name, []).append(scenario_id)
    problems = {case.name: problem for case in suite.cases if (problem := _problem(case, suite, ids)) is not None}
    cases = [case for case in suite.cases if case.name not in problems]
    if problems and not (partial and cases):
        raise invalid_source(*problems.values())
    to = wishes.to or Channel.PIPECAT_V1
    notes = [*suite.notes, *(f"left out: {problem}" for problem in problems.values())]
    if to.automated:
        _check_one_frequency(cases, to)
    requests = tuple(_requests(suite, [(case, ids[case.name][0]) for case in cases], to, notes))
    imported = plan_of_requests(Requests(requests=requests, notes=tuple(notes)), replace(wishes, to=to))
    return replace(imported, remarks={ids[case.name][0]: case.name for case in cases})


def _problem(case: Case, suite: Suite, ids: Mapping[str, Sequence[int]]) -> Problem | None:
    path = f"scenario {shortened(case.name, 90)}"
    if [one.name for one in suite.cases].count(case.name) > 1:
        message = "is named twice in the file, and a scenario at Cekura is found by its name"
        return Problem(path=path, message=message, remedy="keep one, with the sum of their frequencies")
    found = ids.get(case.name, ())
    if len(found) == 1:
        return None
    if found:
        message = f"is the name of {len(found)} scenarios of the agent: {', '.join(map(str, found))}"
        return Problem(path=path, message=message, remedy="rename all but one at Cekura, or write the id into the plan")
    near = nearest(case.name, ids)
    meant = f"did you mean {shortened(near, 90)}? Else " if near is not None else ""
    remedy = f"{meant}create it at Cekura under that name, or leave it out with --partial"
    return Problem(path=path, message="is no scenario of the agent at Cekura", remedy=remedy)


def _check_one_frequency(cases: Sequence[Case], to: Channel) -> None:
    by_frequency: dict[int, list[str]] = {}
    for case in cases:
        by_frequency.setdefault(case.frequency, []).append(case.name)
    if len(by_frequency) > 1:
        counts = "; ".join(f"{frequency} for {_listed(names)}" for frequency, names in sorted(by_frequency.items()))
        message = f"differs ({counts}), and channel {to.value} has one for all scenarios"
        remedy = "add --to pipecat_v1, where each scenario has its own repeat, or split the file by frequency"
        raise invalid_source(Problem(path="frequency", message=message, remedy=remedy))


def _requests(suite: Suite, cases: Sequence[tuple[Case, int]], to: Channel, notes: list[str]) -> Iterator[Request]:
    personality = _shared("personality", {case.personality_id for case, _ in cases}, notes)
    profile = _shared("test_profile", {case.test_profile_id for case, _ in cases}, notes)
    for frequency, group in groupby(cases, key=lambda pair: pair[0].frequency):
        yield Request(
            channel=to if to.automated else Channel.PIPECAT_V2,
            scenarios=tuple(AutomatedScenario(scenario_id=scenario_id) for _, scenario_id in group),
            frequency=frequency,
            name=suite.name,
            personality_ids=personality,
            test_profile_ids=profile,
            calls=suite.calls,
        )


def _shared(key: str, ids: set[int | None], notes: list[str]) -> tuple[int, ...]:
    """The id that all cases have, where the channel takes one; a note where something else was said."""
    only = next(iter(ids)) if len(ids) == 1 else None
    if only is not None:
        return (only,)
    if ids != {None}:
        notes.append(f"{key} is left out, for it is not the same id in every scenario: {AT_CEKURA}")
    return ()


def _id(case: Mapping[str, Any], defaults: Mapping[str, Any], key: str) -> int | None:
    value = case.get(key) if case.get(key) is not None else defaults.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - CASES_SHOWN} more" if len(names) > CASES_SHOWN else ""
    return ", ".join(shortened(name, 60) for name in names[:CASES_SHOWN]) + more


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
