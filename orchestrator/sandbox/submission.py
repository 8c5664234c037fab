"""What Cekura makes of a submission's body: scenarios to run, or the field errors of its 400.

Field names from `SchemaPostRunScenariosPipecat`; the texts of errors are the usual ones of Django REST framework, for
Cekura's own are not documented. The multipliers that other run endpoints know are refused, as the manual flow has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.sandbox.cekura import SubmittedScenario

REQUIRED: Final = "This field is required."
NOT_AN_INTEGER: Final = "A valid integer is required."
UNSUPPORTED: Final = ("frequency", "personality_ids", "test_profile_ids")


class FieldErrors(ValueError):
    """A body that Cekura refuses; `errors` is the answer's JSON."""

    def __init__(self, errors: Mapping[str, Any]) -> None:
        super().__init__("the submission has field errors")
        self.errors = errors


def read_submission(body: Any, *, unknown: Sequence[int]) -> tuple[int | None, list[SubmittedScenario]]:
    """The agent (if named) and the scenarios; FieldErrors where the body is not right."""
    if not isinstance(body, Mapping):
        raise FieldErrors({"non_field_errors": ["Invalid data. Expected a dictionary."]})
    errors: dict[str, Any] = {name: ["This field is not supported."] for name in UNSUPPORTED if name in body}
    scenarios = body.get("scenarios")
    if "agent" in body and not _is_integer(body["agent"]):
        errors["agent"] = [NOT_AN_INTEGER]
    if not _is_names(body.get("mock_tool_names")):
        errors["mock_tool_names"] = ["Expected a list of items but got another type."]
    if (wrong := _scenario_errors(scenarios, unknown)) is not None:
        errors["scenarios"] = wrong
    if errors:
        raise FieldErrors(errors)
    return body.get("agent"), [_scenario(item) for item in scenarios or ()]


def _scenario(item: Mapping[str, Any]) -> SubmittedScenario:
    return SubmittedScenario(
        scenario=item["scenario"],
        room_url=item["pipecat_room_url"],
        token=item.get("pipecat_token"),
        message=item.get("publish_data_message"),
    )


def _scenario_errors(scenarios: Any, unknown: Sequence[int]) -> list[Any] | None:
    if scenarios is None:
        return [REQUIRED]
    if not isinstance(scenarios, list):
        return ["Expected a list of items but got another type."]
    if not scenarios:
        return ["This list may not be empty."]
    each = [_item_errors(item, unknown) for item in scenarios]
    return each if any(each) else None


def _item_errors(item: Any, unknown: Sequence[int]) -> dict[str, list[str]]:
    if not isinstance(item, Mapping):
        return {"non_field_errors": ["Invalid data. Expected a dictionary."]}
    errors: dict[str, list[str]] = {}
    for name in ("scenario", "pipecat_room_url"):
        if item.get(name) in {None, ""}:
            errors[name] = [REQUIRED]
    scenario = item.get("scenario")
    if scenario is not None and (not _is_integer(scenario) or scenario <= 0):
        errors["scenario"] = [NOT_AN_INTEGER]
    elif scenario in unknown:
        errors["scenario"] = [f'Invalid pk "{scenario}" - object does not exist.']
    for name in ("pipecat_room_url", "pipecat_token"):
        if item.get(name) is not None and not isinstance(item[name], str):
            errors[name] = ["Not a valid string."]
    return errors


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_names(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(name, str) for name in value))
