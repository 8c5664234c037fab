"""What one run's bot and room are given: bodies merged, templates rendered, sizes as they go onto the wire."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from orchestrator.domain.errors import InvalidPlan, Problem
from orchestrator.domain.plan import Plan, ScenarioSpec
from orchestrator.plans.finding import Finding, Place
from orchestrator.plans.template import ENV_PREFIX, MATRIX_PREFIX, Scope, render

# Pipecat Cloud refuses a start body over 1 MB with 413 (docs, fundamentals/active-sessions); read as the smaller MB.
BODY_LIMIT: Final = 1_000_000  # bytes of JSON
DOCUMENT_LIMIT: Final = 32_000_000  # bytes; a batch keeps each of its scenarios once for every cell
MARK_KEY: Final = "_orchestrator"
MARK_ALLOWANCE: Final = 200  # bytes our mark adds
SAMPLE_ID: Final = "00000000-0000-0000-0000-000000000000"  # as long as the ids that runs and batches get
_NO_CELL: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedRun:
    """`body` for the start call, before our mark; a data message may itself be null, hence the flag."""

    body: dict[str, Any]
    publish_data_message: Any
    has_data_message: bool


def render_run(
    plan: Plan, *, scenario: ScenarioSpec, run_id: str, run_index: int, batch_id: str, environ: Mapping[str, str]
) -> RenderedRun:
    """One run's body and data message, with every template replaced.

    The scenario's body is merged over the agent's, and its cell over both. What its test profile holds replaces what is
    there of the same name, and is not rendered, as on channel pipecat_v2. InvalidPlan names a listed variable that
    `environ` lacks, as on a resume from another shell.
    """
    check_variables(plan, environ)
    scope = scope_of(
        run_id=run_id,
        run_index=run_index,
        scenario_id=scenario.scenario_id,
        batch_id=batch_id,
        env_names=plan.env_names,
        environ=environ,
        cell=scenario.cell,
    )
    body = render(merged(merged(plan.agent.body, scenario.body), scenario.cell), scope)
    return RenderedRun(
        body={**body, **scenario.profile},
        publish_data_message=render(scenario.publish_data_message, scope),
        has_data_message=scenario.has_data_message,
    )


def check_variables(plan: Plan, environ: Mapping[str, str]) -> None:
    """InvalidPlan naming every variable that the plan's templates may read and `environ` lacks."""
    missing = tuple(name for name in plan.env_names if name not in environ)
    if missing:
        raise InvalidPlan(tuple(unset_variable(name) for name in missing))


def scope_of(
    *,
    run_id: str,
    run_index: int,
    scenario_id: int,
    batch_id: str,
    env_names: Iterable[str],
    environ: Mapping[str, str],
    cell: Mapping[str, Any] = _NO_CELL,
) -> Scope:
    """Every template name with its value for one run."""
    variables = {f"{ENV_PREFIX}{name}": environ[name] for name in env_names}
    axes = {f"{MATRIX_PREFIX}{name}": value for name, value in cell.items()}
    return {
        "run.id": run_id,
        "run.index": run_index,
        "run.scenario": scenario_id,
        "batch.id": batch_id,
        **variables,
        **axes,
    }


def reserved_mark(place: Place) -> Finding:
    """That a body has a key where the mark goes."""
    return Finding(place=place, message="is where the orchestrator puts its mark", remedy="use another key")


def unset_variable(name: str, line: int | None = None) -> Problem:
    """The problem of a variable that the plan lists and the environment lacks."""
    return Problem(
        path="env", line=line, message=f"the environment variable {name} is not set", remedy=f"export {name}=..."
    )


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`: mappings are merged key by key, anything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result


def json_size(value: Any) -> int:
    """Bytes of `value` as compact UTF-8 JSON, as the clients send it."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
