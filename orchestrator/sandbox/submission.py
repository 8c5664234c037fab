"""What Cekura makes of a submission to the manual Pipecat endpoint: runs to make, or the field errors of its 400.

Field names from `SchemaPostRunScenariosPipecat`. What other run endpoints know is refused, as the manual flow has none
of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.sandbox.cekura import Submission, SubmittedRun
from orchestrator.sandbox.fields import (
    EMPTY,
    NOT_A_LIST,
    NOT_A_MAP,
    NOT_A_STRING,
    NOT_AN_INTEGER,
    NOT_SUPPORTED,
    REQUIRED,
    FieldErrors,
    integer,
    is_integer,
    list_of,
    no_such,
    nullable,
    refusals,
    text,
)

OWN: Final = {"agent": integer(), "mock_tool_names": nullable(list_of(text()))}


def read_submission(body: Any, *, unknown: Sequence[int], foreign: frozenset[str]) -> Submission:
    """The runs, one per element; FieldErrors where the body is not right or names a field of the `foreign` ones."""
    if not isinstance(body, Mapping):
        raise FieldErrors({"non_field_errors": [NOT_A_MAP]})
    errors: dict[str, Any] = {name: [NOT_SUPPORTED] for name in body if name in foreign}
    errors |= refusals(body, OWN)
    scenarios = body.get("scenarios")
    if (wrong := _scenario_errors(scenarios, unknown)) is not None:
        errors["scenarios"] = wrong
    if errors:
        raise FieldErrors(errors)
    return Submission(channel="pipecat_v1", agent=body.get("agent"), runs=[_run(item) for item in scenarios or ()])


def _run(item: Mapping[str, Any]) -> SubmittedRun:
    return SubmittedRun(
        scenario=item["scenario"],
        room_url=item["pipecat_room_url"],
        token=item.get("pipecat_token"),
        message=item.get("publish_data_message"),
    )


def _scenario_errors(scenarios: Any, unknown: Sequence[int]) -> list[Any] | None:
    if scenarios is None:
        return [REQUIRED]
    if not isinstance(scenarios, list):
        return [NOT_A_LIST]
    if not scenarios:
        return [EMPTY]
    each = [_item_errors(item, unknown) for item in scenarios]
    return each if any(each) else None


def _item_errors(item: Any, unknown: Sequence[int]) -> dict[str, list[str]]:
    if not isinstance(item, Mapping):
        return {"non_field_errors": [NOT_A_MAP]}
    errors: dict[str, list[str]] = {}
    for name in ("scenario", "pipecat_room_url"):
        if item.get(name) in (None, ""):
            errors[name] = [REQUIRED]
    if item.get("scenario") is not None and (wrong := scenario_errors(item["scenario"], unknown)):
        errors["scenario"] = wrong
    for name in ("pipecat_room_url", "pipecat_token"):
        if item.get(name) is not None and not isinstance(item[name], str):
            errors[name] = [NOT_A_STRING]
    return errors


def scenario_errors(scenario: Any, unknown: Sequence[int]) -> list[str]:
    """The texts against one scenario's id."""
    if not is_integer(scenario) or scenario <= 0:
        return [NOT_AN_INTEGER]
    return [no_such(scenario)] if scenario in unknown else []
