"""Entries that select scenarios instead of naming one: what is wrong with them, and what comes of them.

What is selected is decided here, from what Cekura answered, and never by Cekura: see decision 0029.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.domain.channel import Channel
from orchestrator.domain.errors import InvalidPlan, Problem
from orchestrator.domain.observation import ScenarioRecord
from orchestrator.domain.plan import Json, Plan, ScenarioSelection, ScenarioSpec
from orchestrator.plans.finding import Finding
from orchestrator.plans.model import SELECTION_KEYS
from orchestrator.plans.rendering import BODY_LIMIT, DOCUMENT_LIMIT, MARK_ALLOWANCE, MARK_KEY, json_size, merged
from orchestrator.plans.section import MAX_RUNS

SELECTING: Final = frozenset({"tags", "folder_path"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What Cekura answered: the scenarios of each selection in its order, and those of the agent by id."""

    selected: Sequence[Sequence[ScenarioRecord]]
    of_agent: Mapping[int, ScenarioRecord]


def is_selection(entry: Mapping[str, Any]) -> bool:
    """Whether an entry as written selects scenarios."""
    return any(entry.get(key) is not None for key in SELECTING)


def selection_findings(data: Mapping[str, Any], channel: Channel) -> Iterator[Finding]:
    """Entries that are neither one scenario nor one selection, or a selection that lacks something."""
    entries = data.get("scenarios")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, Mapping):
            yield from _entry_findings(entry, index, channel)


def _entry_findings(entry: Mapping[str, Any], index: int, channel: Channel) -> Iterator[Finding]:
    written = {key for key in ("scenario", *SELECTION_KEYS) if entry.get(key) is not None}
    if "scenario" in written:
        for key in SELECTION_KEYS:
            if key in written:
                message = "does not go with scenario: an entry names one scenario or selects many"
                yield Finding(place=("scenarios", index, key), message=message, remedy="make two entries of it")
        return
    if not written & SELECTING:
        message = "is missing: an entry names one scenario or selects many"
        remedy = "add scenario: 101, or tags: [smoke], or folder_path: support with project_id: 12"
        yield Finding(place=("scenarios", index, "scenario"), message=message, remedy=remedy)
    if "tag_filter" in written and "tags" not in written:
        yield Finding(
            place=("scenarios", index, "tag_filter"), message="says nothing without tags", remedy="add tags: [smoke]"
        )
    if "folder_path" in written:
        yield from _folder_findings(written, index, channel)


def _folder_findings(written: set[str], index: int, channel: Channel) -> Iterator[Finding]:
    if "project_id" not in written:
        message = "is missing: Cekura knows folders by their project"
        yield Finding(place=("scenarios", index, "project_id"), message=message, remedy="add project_id: 12")
    if "tags" in written and channel is Channel.VOICE:
        message = "does not go with tags on channel voice"
        yield Finding(place=("scenarios", index, "folder_path"), message=message, remedy="make two entries of it")


def in_cells(
    cells: Sequence[Json],
    *,
    scenario_id: int,
    values: ScenarioSelection | ScenarioSpec,
    profile: Json,
) -> Iterator[ScenarioSpec]:
    """One scenario with the values of its entry, in every cell."""
    for cell in cells or ({},):
        yield ScenarioSpec(
            scenario_id=scenario_id,
            repeat=values.repeat,
            body=values.body,
            publish_data_message=values.publish_data_message,
            has_data_message=values.has_data_message,
            cell=cell,
            profile=profile,
        )


def resolved_plan(plan: Plan, found: Found) -> Plan:
    """The plan with every scenario named, in the order of the file, each selected one once.

    A scenario that an entry names is not selected besides, and the first selection of it wins. InvalidPlan names each
    entry that came to nothing, and a batch that would be too large; the digest stays the file's.
    """
    problems: list[Problem] = []
    parts: list[ScenarioSpec] = []
    taken = {scenario.scenario_id for scenario in plan.scenarios}
    before = 0
    for selection, records in zip(plan.selections, found.selected, strict=True):
        parts += plan.scenarios[before : selection.position]
        before = selection.position
        if not records:
            problems.append(_nothing(selection, plan))
        fresh = [record for record in records if record.scenario_id not in taken]
        taken |= {record.scenario_id for record in fresh}
        for record in fresh:
            parts += in_cells(plan.cells, scenario_id=record.scenario_id, values=selection, profile={})
    parts += plan.scenarios[before:]
    problems += _agent_problems(plan, found)
    scenarios = tuple(parts)
    if plan.profiles_due:
        scenarios, trouble = _with_profiles(scenarios, found)
        problems += trouble
    resolved = replace(plan, scenarios=scenarios, selections=(), profiles_due=False)
    problems += _size_problems(resolved)
    if problems:
        raise _refusal(problems)
    return resolved


def _nothing(selection: ScenarioSelection, plan: Plan) -> Problem:
    agent = "" if plan.cekura_agent_id is None else f" of agent {plan.cekura_agent_id}"
    return Problem(
        path=f"scenarios.{selection.entry}",
        message=f"selects nothing: Cekura knows no scenario{agent} with {selection.label}",
        remedy="compare tags, folder and project with Cekura's list of scenarios, and cekura.agent with their agent",
    )


def _agent_problems(plan: Plan, found: Found) -> Iterator[Problem]:
    """Without an agent named, what is selected may belong to several: all but one would be run against a stranger."""
    if plan.cekura_agent_id is not None:
        return
    agents = {record.cekura_agent_id for records in found.selected for record in records} - {None}
    if len(agents) > 1:
        shown = ", ".join(map(str, sorted(agent for agent in agents if agent is not None)[:5]))
        yield Problem(
            path="cekura.agent",
            message=f"is missing, and the selected scenarios belong to several agents ({shown})",
            remedy=f"add cekura: {{agent: {shown.split(',')[0]}}}",
        )


def _with_profiles(scenarios: Sequence[ScenarioSpec], found: Found) -> tuple[tuple[ScenarioSpec, ...], list[Problem]]:
    records = {**found.of_agent, **{one.scenario_id: one for records in found.selected for one in records}}
    problems: dict[int, Problem] = {}
    for scenario in scenarios:
        record = records.get(scenario.scenario_id)
        if record is None:
            problems[scenario.scenario_id] = _profile_problem(
                f"scenario {scenario.scenario_id} is not in Cekura's list of the agent's scenarios",
                remedy="check its id and cekura.agent, or leave cekura.test_profile_variables out",
            )
        elif MARK_KEY in record.main_agent_variables:
            problems[scenario.scenario_id] = _profile_problem(
                f"the test profile of scenario {scenario.scenario_id} has a variable {MARK_KEY}, which is where the"
                " orchestrator puts its mark",
                remedy="rename the variable at Cekura",
            )
    if problems:
        return tuple(scenarios), list(problems.values())
    merged_in = (replace(one, profile=records[one.scenario_id].main_agent_variables) for one in scenarios)
    return tuple(merged_in), []


def _profile_problem(message: str, *, remedy: str) -> Problem:
    return Problem(path="cekura.test_profile_variables", message=message, remedy=remedy)


def _size_problems(plan: Plan) -> Iterator[Problem]:
    """What the file could not say: how many were selected, and how large their profiles are."""
    if plan.run_count > MAX_RUNS:
        yield Problem(
            path="scenarios",
            message=f"make {plan.run_count} runs with what was selected, more than the {MAX_RUNS} of one batch",
            remedy="select less, lower repeat or frequency, or split the plan",
        )
        return
    kept = sum(json_size([one.body, one.publish_data_message, one.cell, one.profile]) for one in plan.scenarios)
    if kept > DOCUMENT_LIMIT:
        yield Problem(
            path="scenarios",
            message=f"come to {kept} bytes with their bodies and messages, more than {DOCUMENT_LIMIT}",
            remedy="pass references, not the data, or split the plan",
        )
        return
    for one in plan.scenarios:
        if not one.profile:
            continue
        size = json_size({**merged(merged(plan.agent.body, one.body), one.cell), **one.profile}) + MARK_ALLOWANCE
        if size > BODY_LIMIT:
            yield _profile_problem(
                f"the start body of scenario {one.scenario_id} is {size} bytes of JSON with its test profile, and"
                f" Pipecat Cloud takes {BODY_LIMIT}",
                remedy="pass a reference, not the data",
            )


def _refusal(problems: Sequence[Problem]) -> InvalidPlan:
    error = InvalidPlan(tuple(dict.fromkeys(problems)))
    error.next_step = "Mend the plan or what Cekura has; nothing was started."
    return error
