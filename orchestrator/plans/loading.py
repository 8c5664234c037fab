"""From a plan file to a Plan, or to every problem it has: nothing is started on a plan that was not read to its end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from orchestrator.domain.channel import Channel
from orchestrator.domain.errors import InvalidPlan, Problem
from orchestrator.domain.forecast import Preference
from orchestrator.domain.notice import Inclusion, NoticeKind, NotificationSpec, Occasion
from orchestrator.domain.plan import (
    AgentKind,
    AgentSpec,
    AutomatedSpec,
    Evidence,
    Gate,
    Json,
    Limits,
    Plan,
    Readiness,
    ScenarioSelection,
    ScenarioSpec,
    SlotRule,
    Timeouts,
    Timing,
)
from orchestrator.plans.cekura_model import CekuraSection
from orchestrator.plans.document import digest_of, plan_document
from orchestrator.plans.finding import Finding, dotted
from orchestrator.plans.matrix import cells_of
from orchestrator.plans.model import AgentSection, PlanFile, ScenarioEntry
from orchestrator.plans.notification_model import NotificationEntry
from orchestrator.plans.notifications import variable_in
from orchestrator.plans.overrides import OPTION, Overridden, override
from orchestrator.plans.ramps import ramp_of
from orchestrator.plans.refusals import shape_findings
from orchestrator.plans.rules import plan_warnings, rule_findings
from orchestrator.plans.selections import in_cells
from orchestrator.plans.source import SIZE_LIMIT, Source, from_json, parse

DATA_MESSAGE_LIMIT: Final = 65_536  # bytes; our own, for Cekura and Daily publish none

FIRST_CEKURA_KEYS: Final = frozenset({"agent", "mock_tool_names"})
FIRST_ENTRY_KEYS: Final = frozenset({"scenario", "repeat", "body", "publish_data_message"})
FIRST_KEYS: Final = frozenset(
    {
        "version",
        "name",
        "env",
        "agent",
        "cekura",
        "scenarios",
        "limits",
        "timeouts",
        "timing",
        "readiness",
        "prefer",
        "retries",
        "gate",
    }
)

_NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
_SMALLEST: Final = (
    "a plan is a mapping: version: 1, agent: {kind: pipecat_cloud, name: ...}, scenarios: [{scenario: 101}]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPlan:
    """A plan that may run, the document to keep of it, and what a person should know before it does."""

    plan: Plan
    document: Mapping[str, Any]
    warnings: tuple[str, ...]


def load_plan(
    path: Path,
    *,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = _NO_VARIABLES,
    data_message_limit: int = DATA_MESSAGE_LIMIT,
) -> LoadedPlan:
    """Read and check a plan file; InvalidPlan carries every problem with its line, or with the override that made it.

    `overrides` are dotted KEY=VALUE texts, VALUE in YAML. `environ` is where the variables of the plan's `env` come
    from. `data_message_limit` is in bytes of JSON.
    """
    return plan_from_text(
        text_of(path),
        name=path.stem,
        overrides=overrides,
        environ=environ,
        data_message_limit=data_message_limit,
    )


def plan_from_text(
    text: str,
    *,
    name: str = "plan",
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = _NO_VARIABLES,
    data_message_limit: int = DATA_MESSAGE_LIMIT,
) -> LoadedPlan:
    """As `load_plan`, from the text itself; `name` is what the batch is called where the plan gives no name."""
    return _load(parse(text), name=name, overrides=overrides, environ=environ, data_message_limit=data_message_limit)


def plan_from_data(
    data: Any,
    *,
    name: str = "plan",
    environ: Mapping[str, str] = _NO_VARIABLES,
    data_message_limit: int = DATA_MESSAGE_LIMIT,
) -> LoadedPlan:
    """As `plan_from_text`, from what JSON already said: problems then have a place, and no line."""
    return _load(from_json(data), name=name, overrides=(), environ=environ, data_message_limit=data_message_limit)


def _load(
    source: Source, *, name: str, overrides: Sequence[str], environ: Mapping[str, str], data_message_limit: int
) -> LoadedPlan:
    if not isinstance(source.data, dict):
        raise InvalidPlan(source.problems or (_not_a_plan(source.data),))
    overridden = override(source.data, overrides)
    findings = [
        *shape_findings(overridden.data),
        *rule_findings(overridden.data, environ=environ, data_message_limit=data_message_limit),
    ]
    problems = [*source.problems, *overridden.problems, *_located(findings, source, overridden)]
    if problems:
        raise InvalidPlan(_in_order(problems))
    plan = _plan(PlanFile.model_validate(overridden.data), name=name)
    return LoadedPlan(plan=plan, document=plan_document(plan), warnings=tuple(plan_warnings(plan)))


def text_of(path: Path) -> str:
    """The text of a file of bounded size; InvalidPlan where it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        remedy = "check the path; config/ holds example plans"
        raise _refusal(f"cannot read {path}: {error.strerror}", remedy) from error
    if len(content) > SIZE_LIMIT:
        raise _refusal(
            f"{path} is larger than {SIZE_LIMIT} bytes", "split the plan, or pass references instead of data"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _refusal(f"{path} is not UTF-8 text", "save it as UTF-8", line=line) from error


def _refusal(message: str, remedy: str, *, line: int | None = None) -> InvalidPlan:
    return InvalidPlan((Problem(path="plan", message=message, line=line, remedy=remedy),))


def _not_a_plan(data: Any) -> Problem:
    message = "is empty" if data is None else f"is a {type(data).__name__}, not a mapping of keys to values"
    return Problem(path="plan", message=message, line=1, remedy=_SMALLEST)


def _located(findings: Sequence[Finding], source: Source, overridden: Overridden) -> Iterator[Problem]:
    for finding in findings:
        ours = overridden.covers(finding.place)
        path = dotted(finding.place)
        yield Problem(
            path=f"{OPTION} {path}" if ours else path,
            message=finding.message,
            line=None if ours else source.line_of(finding.place),
            remedy=finding.remedy,
        )


def _in_order(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """In the order of the file, overrides last, nothing twice (an aliased value is met once per alias)."""
    unique = dict.fromkeys(problems)
    return tuple(sorted(unique, key=lambda problem: (problem.line is None, problem.line or 0)))


def _plan(file: PlanFile, *, name: str) -> Plan:
    values = {**_values(file), "name": file.name or usable_name(name)}
    limits, timing = file.limits, file.timing
    cells = () if file.matrix is None else cells_of(file.matrix.model_dump())
    scenarios, selections = _scenarios(file, cells)
    return Plan(
        name=values["name"],
        agent=_agent(file),
        cekura_agent_id=file.cekura.agent,
        mock_tool_names=None if file.cekura.mock_tool_names is None else tuple(file.cekura.mock_tool_names),
        scenarios=tuple(scenarios),
        env_names=tuple(file.env),
        limits=Limits(
            concurrency=limits.concurrency,
            calls=limits.concurrency if limits.calls is None else limits.calls,
            starts_per_second=limits.starts_per_second,
            call_slot_until=SlotRule(limits.call_slot_until),
        ),
        timeouts=Timeouts(**file.timeouts.model_dump()),
        timing=Timing(**timing.model_dump()),
        readiness=Readiness(
            evidence=tuple(Evidence(kind) for kind in file.readiness.evidence),
            settle=file.readiness.settle,
        ),
        prefer=Preference(file.prefer),
        infrastructure_retries=file.retries.infrastructure,
        gate=Gate(min_pass_rate=file.gate.min_pass_rate, max_inconclusive=file.gate.max_inconclusive),
        digest=digest_of(values),
        channel=Channel(file.channel),
        automated=_automated(file.cekura) if Channel(file.channel).automated else None,
        result_name=file.cekura.name,
        cells=cells,
        selections=tuple(selections),
        profiles_due=file.cekura.test_profile_variables,
        share_seconds=file.cekura.share_links,
        ramp=None if file.ramp is None else ramp_of(file.ramp),
        notifications=tuple(_notification(entry) for entry in file.notifications),
    )


def _values(file: PlanFile) -> dict[str, Any]:
    """What the digest is of: keys that came to the format later count where they are written, so old digests stay."""
    values = file.model_dump()
    values["cekura"] = {
        key: value
        for key, value in values["cekura"].items()
        if key in FIRST_CEKURA_KEYS or (value is not None and value is not False)
    }
    values["scenarios"] = [
        {key: value for key, value in entry.items() if key in FIRST_ENTRY_KEYS or value is not None}
        for entry in values["scenarios"]
    ]
    return {key: value for key, value in values.items() if key in FIRST_KEYS or key in file.model_fields_set}


def _agent(file: PlanFile) -> AgentSpec:
    """What sessions are started with; where Cekura starts them, only what reports call the agent."""
    if file.agent is not None:
        return agent_of(file.agent)
    cekura = file.cekura
    known = cekura.agent or cekura.assistant_id
    name = "Cekura's agent of the first scenario" if known is None else f"Cekura's agent {known}"
    return AgentSpec(
        kind=AgentKind.CEKURA,
        name=name,
        url=None,
        body={},
        room_properties={},
        token_properties={},
        exclusive=False,
    )


def _automated(cekura: CekuraSection) -> AutomatedSpec:
    data = cekura.pipecat_data or cekura.livekit_data
    return AutomatedSpec(
        frequency=cekura.frequency or 1,
        personality_ids=tuple(cekura.personality_ids or ()),
        test_profile_ids=tuple(cekura.test_profile_ids or ()),
        calls=cekura.concurrency_limit,
        agent_data=None if data is None else data.model_dump(exclude_unset=True),
        assistant_id=cekura.assistant_id,
        outbound_phone_number=cekura.outbound_phone_number,
        agent_number=cekura.agent_number,
        number_mode=cekura.mode,
    )


def agent_of(agent: AgentSection) -> AgentSpec:
    """A checked section as what sessions are started with."""
    return AgentSpec(
        kind=AgentKind(agent.kind),
        name=agent.name,
        url=None if agent.url is None else agent.url.rstrip("/"),
        body=agent.body,
        room_properties=agent.room_properties,
        token_properties=agent.token_properties,
        exclusive=agent.exclusive,
        pool=agent.pool,
    )


def _scenarios(file: PlanFile, cells: Sequence[Json]) -> tuple[list[ScenarioSpec], list[ScenarioSelection]]:
    """The entries that name a scenario, in every cell, and those that select some, with their place among them."""
    scenarios: list[ScenarioSpec] = []
    selections: list[ScenarioSelection] = []
    for index, entry in enumerate(file.scenarios):
        said = "publish_data_message" in entry.model_fields_set
        if entry.scenario is None:
            selections.append(_selection(entry, index, position=len(scenarios), has_data_message=said))
            continue
        one = ScenarioSpec(
            scenario_id=entry.scenario,
            repeat=entry.repeat,
            body=entry.body,
            publish_data_message=entry.publish_data_message,
            has_data_message=said,
        )
        scenarios += in_cells(cells, scenario_id=entry.scenario, values=one, profile={})
    return scenarios, selections


def _selection(entry: ScenarioEntry, index: int, *, position: int, has_data_message: bool) -> ScenarioSelection:
    return ScenarioSelection(
        entry=index,
        position=position,
        tags=tuple(entry.tags or ()),
        tag_filter=entry.tag_filter or "or",
        folder_path=entry.folder_path,
        project_id=entry.project_id,
        repeat=entry.repeat,
        body=entry.body,
        publish_data_message=entry.publish_data_message,
        has_data_message=has_data_message,
    )


def _notification(entry: NotificationEntry) -> NotificationSpec:
    return NotificationSpec(
        kind=NoticeKind(entry.kind),
        url_variable=variable_in(entry.url) or "",
        secret_variable=None if entry.secret is None else variable_in(entry.secret),
        on=tuple(Occasion(one) for one in entry.on),
        include=tuple(Inclusion(one) for one in entry.include),
    )


def usable_name(stem: str) -> str:
    """A file's name as a batch's name: `Nightly Support.plan` becomes `nightly-support.plan`."""
    return re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-")[:80] or "plan"
