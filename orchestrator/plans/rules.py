"""What must hold between the keys of a plan: agent and address, evidence, templates, sizes, how long rooms live.

Every rule looks at the data as written and is silent about parts whose shape is already refused, so that all problems
come at once and none twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import ValidationError

from orchestrator.domain.address import is_loopback
from orchestrator.domain.plan import AgentKind, Evidence, Plan
from orchestrator.plans.channels import channel_findings, channel_of
from orchestrator.plans.finding import Finding, Place
from orchestrator.plans.matrix import axis_names, cells_of, matrix_findings
from orchestrator.plans.model import MatrixSection, TimeoutsSection, TimingSection
from orchestrator.plans.notifications import notification_findings
from orchestrator.plans.ramps import ramp_findings, ramp_warnings
from orchestrator.plans.rendering import (
    BODY_LIMIT,
    DOCUMENT_LIMIT,
    MARK_ALLOWANCE,
    MARK_KEY,
    SAMPLE_ID,
    json_size,
    merged,
    reserved_mark,
    scope_of,
)
from orchestrator.plans.rooms import property_findings, property_warnings, room_seconds, room_seconds_of
from orchestrator.plans.section import LARGEST_ID, MAX_RUNS, VARIABLE_NAME, Section
from orchestrator.plans.selections import is_selection, selection_findings
from orchestrator.plans.source import is_utf8
from orchestrator.plans.template import misplaced_findings, render, template_findings, templates_in

RUNNER_TOKEN_SECONDS: Final = 7200  # a runner's tokens end 2 h after the start (pipecat.runner.daily.configure, 1.14)
CLOUD_SESSION_DEFAULT: Final = 7200  # Pipecat Cloud's maxSessionDuration unless the deployment raises it
CLOUD_SESSION_LIMIT: Final = 14_400  # and the most it can be raised to (docs, fundamentals/active-sessions)
PRESENCE_INTERVAL_ASKED: Final = 15  # seconds; Daily's page on GET /presence

_SectionT = TypeVar("_SectionT", bound=Section)


def rule_findings(data: Mapping[str, Any], *, environ: Mapping[str, str], data_message_limit: int) -> Iterator[Finding]:
    """Every rule broken by `data`, whatever else is wrong with it; `data_message_limit` in bytes."""
    channel = channel_of(data)
    if channel is None:
        return
    yield from channel_findings(data, channel)
    yield from selection_findings(data, channel)
    if not channel.automated:
        yield from _session_findings(data)
    yield from _count_findings(data)
    yield from notification_findings(data, environ=environ)
    yield from _body_findings(data, environ=environ, data_message_limit=data_message_limit)


def _session_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """What holds where sessions and rooms are ours."""
    agent = _mapping(data.get("agent"))
    yield from agent_findings(agent)
    yield from property_findings(agent)
    yield from _evidence_findings(data)
    yield from _duration_findings(data, agent.get("kind"))
    yield from _pool_findings(data)
    yield from ramp_findings(data)
    yield from matrix_findings(data.get("matrix"))


def agent_findings(agent: Mapping[str, Any]) -> Iterator[Finding]:
    """What an agent's kind asks for and excludes; places begin with `agent`."""
    kind = agent.get("kind")
    if kind == AgentKind.PIPECAT_CLOUD:
        if "name" not in agent:
            message = "is missing: Pipecat Cloud starts agents by name"
            yield Finding(place=("agent", "name"), message=message, remedy="add name: support-bot")
        if "url" in agent:
            message = "does not go with kind pipecat_cloud"
            yield Finding(place=("agent", "url"), message=message, remedy="leave it out, or write kind: pipecat_runner")
    if kind == AgentKind.PIPECAT_RUNNER:
        if "url" not in agent:
            message = "is missing: a runner is started at its address"
            yield Finding(place=("agent", "url"), message=message, remedy="add url: http://localhost:7860")
        yield from _address_findings(agent.get("url"), ("agent", "url"), example="http://localhost:7860")
        if isinstance(url := agent.get("url"), str) and url.rstrip("/").endswith("/start"):
            message = "must not end in /start, which is added to it"
            yield Finding(
                place=("agent", "url"), message=message, remedy=f"write {url.rstrip('/').removesuffix('/start')}"
            )
    if MARK_KEY in _mapping(agent.get("body")):
        yield reserved_mark(("agent", "body", MARK_KEY))


def _address_findings(url: Any, place: Place, *, example: str) -> Iterator[Finding]:
    if not isinstance(url, str):
        return
    yield from misplaced_findings(url, place)
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname or any(map(str.isspace, url)):
        yield Finding(place=place, message="must be an http or https address", remedy=f"write {example}")
    elif parts.username is not None or parts.password is not None:
        yield Finding(place=place, message="must not hold a user name or password", remedy="leave them out of the plan")
    elif parts.query or parts.fragment:
        yield Finding(place=place, message="must not hold a query or fragment", remedy="end it after the path")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where the port is no port
    except ValueError:
        return None
    return parts


def _evidence_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    readiness = _mapping(data.get("readiness"))
    evidence = readiness.get("evidence", [])
    if not isinstance(evidence, list):
        return
    if evidence == [Evidence.RECORD] and _mapping(data.get("agent")).get("kind") == AgentKind.PIPECAT_RUNNER:
        message = "a runner keeps no session records, so nothing would ever be ready"
        yield Finding(place=("readiness", "evidence"), message=message, remedy="add presence or settle")


def _duration_findings(data: Mapping[str, Any], kind: Any) -> Iterator[Finding]:
    timeouts = _section(TimeoutsSection, data.get("timeouts", {}))
    timing = _section(TimingSection, data.get("timing", {}))
    if timeouts is None or timing is None:
        return
    seconds = room_seconds_of(
        ready=timeouts.ready, run=timeouts.run, gather=timing.gather, teardown_grace=timing.teardown_grace
    )
    if (trouble := lifetime_trouble(seconds, kind)) is not None:
        message, surplus = trouble
        yield Finding(
            place=("timeouts", "run"),
            message=message,
            remedy=f"lower timeouts.run or timeouts.ready by {surplus:g} s or more",
        )


def lifetime_trouble(seconds: float, kind: Any) -> tuple[str, float] | None:
    """Why no room can live so long, and by how much it is too long; None where one can."""
    limits: Mapping[str, tuple[int, str]] = {
        AgentKind.PIPECAT_RUNNER: (RUNNER_TOKEN_SECONDS, "a Pipecat runner's meeting tokens end after"),
        AgentKind.PIPECAT_CLOUD: (CLOUD_SESSION_LIMIT, "Pipecat Cloud ends every session after at most"),
    }
    limit, reason = limits.get(str(kind), (math.inf, ""))
    if seconds <= limit:
        return None
    return f"needs rooms that live {seconds:g} s (start to teardown), but {reason} {limit} s", seconds - limit


def _count_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    repeats = [entry.get("repeat", 1) for _, entry in _scenarios(data)]
    cekura = _mapping(data.get("cekura"))
    frequency = cekura.get("frequency", 1)
    total = sum(repeat for repeat in repeats if isinstance(repeat, int) and not isinstance(repeat, bool))
    total *= frequency if isinstance(frequency, int) else 1
    for multiplier in ("personality_ids", "test_profile_ids"):
        total *= max(1, len(_list(cekura.get(multiplier))))
    total *= max(1, len(_cells(data)))
    if total > MAX_RUNS:
        message = f"make {total} runs, more than the {MAX_RUNS} of one batch"
        remedy = "lower repeat or frequency, give the matrix fewer cells, or split the plan"
        yield Finding(place=("scenarios",), message=message, remedy=remedy)


def _pool_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """A session of a pool was started before anybody knew for which run: nothing of a run can be in its body."""
    agent = _mapping(data.get("agent"))
    if agent.get("pool") is None:
        return
    why = "a pool's sessions are started before their run is known"
    for place in templates_in(_mapping(agent.get("body")), ("agent", "body")):
        yield Finding(place=place, message=f"must not hold a template: {why}", remedy="write the value out")
    for index, entry in _scenarios(data):
        if _mapping(entry.get("body")):
            remedy = "move what all runs share to agent.body, or leave agent.pool out"
            yield Finding(
                place=("scenarios", index, "body"), message=f"does not go with agent.pool: {why}", remedy=remedy
            )
    if _mapping(data.get("matrix")):
        remedy = "leave one of the two out"
        yield Finding(place=("matrix",), message=f"does not go with agent.pool: {why}", remedy=remedy)
    if _mapping(data.get("cekura")).get("test_profile_variables"):
        message = f"does not go with agent.pool: {why}"
        yield Finding(place=("cekura", "test_profile_variables"), message=message, remedy="leave one of the two out")


def _body_findings(
    data: Mapping[str, Any], *, environ: Mapping[str, str], data_message_limit: int
) -> Iterator[Finding]:
    listed = {
        name: index
        for index, name in enumerate(_list(data.get("env")))
        if isinstance(name, str) and re.match(VARIABLE_NAME, name)
    }
    names = tuple(listed)
    in_the_way = list(_template_findings(data, names))
    for name, index in listed.items():
        if (message := _variable_trouble(name, environ)) is not None:
            remedy = f"export {name}=... before running"
            in_the_way.append(Finding(place=("env", index), message=message, remedy=remedy))
    yield from in_the_way
    if not in_the_way and _cells_are_whole(data.get("matrix")):
        yield from _size_findings(data, names, environ=environ, data_message_limit=data_message_limit)


def _variable_trouble(name: str, environ: Mapping[str, str]) -> str | None:
    if name not in environ:
        return f"the environment variable {name} is not set"
    return None if is_utf8(environ[name]) else f"the environment variable {name} is not UTF-8 text"


def _template_findings(data: Mapping[str, Any], names: Sequence[str]) -> Iterator[Finding]:
    agent, axes = _mapping(data.get("agent")), axis_names(data.get("matrix"))
    yield from template_findings(_mapping(agent.get("body")), ("agent", "body"), env_names=names, axes=axes)
    for index, entry in _scenarios(data):
        for key in ("body", "publish_data_message"):
            yield from template_findings(entry.get(key), ("scenarios", index, key), env_names=names, axes=axes)
        if MARK_KEY in _mapping(entry.get("body")):
            yield reserved_mark(("scenarios", index, "body", MARK_KEY))


def _size_findings(
    data: Mapping[str, Any], names: Sequence[str], *, environ: Mapping[str, str], data_message_limit: int
) -> Iterator[Finding]:
    """Sizes as the widest run would send them."""
    base = _mapping(_mapping(data.get("agent")).get("body"))
    cells = _cells(data)
    widest = _widest(cells)
    kept = 0
    for index, entry in _scenarios(data):
        scenario_id = LARGEST_ID if is_selection(entry) else entry.get("scenario")
        scope = scope_of(
            run_id=SAMPLE_ID,
            run_index=MAX_RUNS,
            scenario_id=scenario_id if isinstance(scenario_id, int) else 0,
            batch_id=SAMPLE_ID,
            env_names=names,
            environ=environ,
            cell=widest,
        )
        body = json_size(render(merged(merged(base, _mapping(entry.get("body"))), widest), scope)) + MARK_ALLOWANCE
        if body > BODY_LIMIT:
            message = f"the start body is {body} bytes of JSON with agent.body, and Pipecat Cloud takes {BODY_LIMIT}"
            yield Finding(place=("scenarios", index, "body"), message=message, remedy="pass a reference, not the data")
        message_size = json_size(render(entry.get("publish_data_message"), scope))
        if message_size > data_message_limit:
            yield Finding(
                place=("scenarios", index, "publish_data_message"),
                message=f"is {message_size} bytes of JSON, more than the limit of {data_message_limit}",
                remedy="send less, or raise ORCHESTRATOR_DATA_MESSAGE_LIMIT",
            )
        kept += max(1, len(cells)) * json_size([entry.get("body"), entry.get("publish_data_message"), widest])
    if kept > DOCUMENT_LIMIT:
        message = f"come to {kept} bytes with their bodies and messages in every cell, more than {DOCUMENT_LIMIT}"
        yield Finding(place=("scenarios",), message=message, remedy="pass references, not the data, or split the plan")


def _cells(data: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    matrix = data.get("matrix")
    return cells_of(matrix) if _section(MatrixSection, matrix) is not None else ()


def _cells_are_whole(matrix: Any) -> bool:
    """Whether every cell, if there are any, has a value for each name that templates may read."""
    if not axis_names(matrix):
        return True
    return _section(MatrixSection, matrix) is not None and not any(matrix_findings(matrix))


def _widest(cells: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The cell that takes most bytes; an empty one where there is no matrix."""
    return max(cells, key=json_size, default={})


def plan_warnings(plan: Plan) -> Iterator[str]:
    """What is allowed and worth knowing before money is spent; one sentence or two each."""
    if plan.mock_tool_names is None:
        yield "cekura.mock_tool_names is absent: Cekura mocks every configured tool; write [] to use the real ones."
    yield from _automated_warnings(plan) if plan.channel.automated else _session_warnings(plan)


def _session_warnings(plan: Plan) -> Iterator[str]:
    evidence = plan.readiness.evidence
    if Evidence.PROBE in evidence:
        yield (
            "readiness: probe joins each room as a participant: a bot that reacts to its first participant greets the"
            " probe instead of Cekura's caller, and the extra participant may be billed."
        )
    if evidence == (Evidence.SETTLE,):
        yield (
            "readiness: settle alone waits a fixed time and proves nothing: a bot that never joined is submitted, and"
            " the call to an empty room may be billed."
        )
    if plan.timing.presence_interval < PRESENCE_INTERVAL_ASKED:
        yield f"timing.presence_interval is below the {PRESENCE_INTERVAL_ASKED} s that Daily asks for."
    if plan.limits.calls > plan.limits.concurrency:
        yield "limits.calls is above limits.concurrency: there are never more calls than sessions."
    yield from ramp_warnings(plan)
    yield from _agent_warnings(plan)
    yield from property_warnings(plan.agent.room_properties)


def _automated_warnings(plan: Plan) -> Iterator[str]:
    combinations = len(plan.automated.combinations) if plan.automated is not None else 1
    if combinations > 1:
        yield (
            f"Cekura makes {combinations} results of this plan, one for each personality and test profile: its"
            " documentation does not say on every channel whether lists of them multiply, and so they need not."
        )


def _agent_warnings(plan: Plan) -> Iterator[str]:
    seconds = room_seconds(plan)
    if plan.agent.kind is AgentKind.PIPECAT_CLOUD and seconds > CLOUD_SESSION_DEFAULT:
        yield (
            f"timeouts need sessions of up to {seconds:g} s; Pipecat Cloud ends them after {CLOUD_SESSION_DEFAULT} s"
            " unless the deployment raises maxSessionDuration."
        )
    if plan.agent.url is not None and not _is_private_way(plan.agent.url):
        yield "agent.url is plain http beyond this machine: bodies and meeting tokens travel unencrypted."


def _is_private_way(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _section(model: type[_SectionT], value: Any) -> _SectionT | None:
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _scenarios(data: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for index, entry in enumerate(_list(data.get("scenarios"))):
        if isinstance(entry, Mapping):
            yield index, entry


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
