"""What pydantic found wrong with a plan's shape, said so that a person knows what to write instead."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from orchestrator.plans.finding import Finding, Place, dotted, nearest, shortened
from orchestrator.plans.model import AGENT_NAME, PLAN_NAME, SECTIONS, VARIABLE_NAME, PlanFile, Section

# Keys people expect, from Cekura's other flows or from where this project is going, that nothing here acts on yet.
NOT_BUILT: Final[Mapping[str, str]] = {
    "budget": "bound the work with `limits` and `repeat`",
    "channel": "leave it out: a plan drives the manual flow",
    "folder_path": "list the scenarios by id",
    "frequency": "write `repeat` beside the scenario",
    "matrix": "write one entry of `scenarios` per combination",
    "notifications": "act on the exit code, or on `run --json`",
    "personality_ids": "Cekura's manual flow takes none; use a scenario per personality",
    "prefer": "leave it out",
    "ramp": "pace starts with `limits.starts_per_second`",
    "schedule": "start `orchestrator run` from your scheduler",
    "status_url": "use presence, record, probe or settle as evidence",
    "tags": "list the scenarios by id",
    "test_profile_ids": "Cekura's manual flow takes none; write the values into `body`",
}
NOT_BUILT_KINDS: Final = ("http", "command")

_WHOLE_NUMBER: Final = "must be a whole number"
_KINDS: Final[Mapping[str, str]] = {
    "int_type": _WHOLE_NUMBER,
    "int_from_float": _WHOLE_NUMBER,
    "int_parsing_size": _WHOLE_NUMBER,
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
}
_PATTERNS: Final[Mapping[str, str]] = {
    AGENT_NAME: "letters, digits, dots, dashes and underscores, the first a letter or digit",
    PLAN_NAME: "lower-case letters, digits, dots, dashes and underscores",
    VARIABLE_NAME: "the name of an environment variable: letters, digits and underscores",
}


def shape_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Every way in which `data` is not a PlanFile, all at once."""
    try:
        PlanFile.model_validate(data)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            yield _finding(details)


def _finding(details: ErrorDetails) -> Finding:
    place: Place = tuple(details["loc"])
    kind = details["type"]
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind == "missing":
        return Finding(place=place, message="is missing", remedy=f"add {_example_line(place)}")
    if kind in _KINDS:
        return _wrong_type(place, _KINDS[kind], details["input"])
    if kind == "literal_error":
        return _not_allowed(place, details)
    return Finding(place=place, message=_other_message(place, details), remedy=_write(place))


def _unknown_key(place: Place) -> Finding:
    key = str(place[-1])
    if key in NOT_BUILT:
        return Finding(place=place, message=f"this version does not support {key} yet", remedy=NOT_BUILT[key])
    known = _model_of(place).model_fields
    suggestion = nearest(key, known)
    if suggestion is not None:
        return Finding(place=place, message=f"unknown key {key}", remedy=f"did you mean {suggestion}?")
    if (home := _home_of(key)) is not None:
        return Finding(place=place, message=f"unknown key {key} here", remedy=f"did you mean {home}?")
    return Finding(place=place, message=f"unknown key {key}", remedy=f"known keys here: {', '.join(known)}")


def _home_of(key: str) -> str | None:
    """Where a key would be at home, for one written in the wrong section."""
    if key in PlanFile.model_fields:
        return f"{key} at the top of the plan"
    homes = [f"{section}.{key}" for section, model in SECTIONS.items() if key in model.model_fields]
    return homes[0] if len(homes) == 1 else None


def _wrong_type(place: Place, message: str, given: Any) -> Finding:
    if given is None:
        return Finding(place=place, message=f"is empty; it {message}", remedy=_write(place, otherwise="leave it out"))
    remedy = _write(place)
    if isinstance(given, str) and "number" in message and _reads_as_number(given):
        remedy = f"write {given.strip()} without quotes"
    elif message.endswith("text") and isinstance(given, bool | int | float):
        remedy = f'quote it: "{json.dumps(given)}"'
    return Finding(place=place, message=f"{message}, not {shortened(given)}", remedy=remedy)


def _not_allowed(place: Place, details: ErrorDetails) -> Finding:
    given = details["input"]
    if place == ("agent", "kind") and given in NOT_BUILT_KINDS:
        return Finding(
            place=place,
            message=f"this version does not support kind {given} yet",
            remedy="use pipecat_cloud, or pipecat_runner with a url",
        )
    allowed = str(details["ctx"]["expected"]).replace("'", "")
    suggestion = nearest(given, allowed.replace(" or ", ", ").split(", ")) if isinstance(given, str) else None
    remedy = f"did you mean {suggestion}?" if suggestion else _write(place)
    return Finding(place=place, message=f"must be {allowed}, not {shortened(given)}", remedy=remedy)


def _other_message(place: Place, details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            return f"must be {_range_of(place, context)}, not {shortened(details['input'])}"
        case "string_pattern_mismatch":
            return f"must be {_PATTERNS[context['pattern']]}, not {shortened(details['input'])}"
        case "string_too_long":
            return f"must be at most {context['max_length']} characters long"
        case "too_short":
            return "must not be empty"
        case "value_error":
            return str(context["error"])
        case _:
            return details["msg"]


def _range_of(place: Place, context: Mapping[str, Any]) -> str:
    field = _field_at(place)
    bounds = dict(context)
    for constraint in field.metadata if field is not None else ():
        bounds |= {name: getattr(constraint, name) for name in ("ge", "gt", "le", "lt") if hasattr(constraint, name)}
    if {"ge", "le"} <= bounds.keys():
        return f"from {_plain(bounds['ge'])} to {_plain(bounds['le'])}"
    words = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}
    return " and ".join(text.format(_plain(bounds[name])) for name, text in words.items() if name in bounds)


def _plain(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _write(place: Place, otherwise: str = "") -> str:
    field = _field_at(place)
    if field is None or not field.examples:
        return otherwise
    return f"write {_example_line(place)}" + (f", or {otherwise}" if otherwise and not field.is_required() else "")


def _example_line(place: Place) -> str:
    field = _field_at(place)
    examples = field.examples if field is not None else None
    if not examples:
        return dotted(place)
    if isinstance(place[-1], str):
        return f"{place[-1]}: {_flow(examples[0])}"
    element = examples[0][0]
    return f"- {_flow(element)}" if isinstance(element, Mapping) else _flow(element)


def _flow(value: Any) -> str:
    """An example as YAML in one line; examples are simple enough to need no quotes."""
    return json.dumps(value).replace('"', "")


def _field_at(place: Place) -> FieldInfo | None:
    return _model_of(place).model_fields.get(_key_of(place))


def _key_of(place: Place) -> str:
    return next((part for part in reversed(place) if isinstance(part, str)), "")


def _model_of(place: Place) -> type[Section]:
    """The section whose key `place` ends in."""
    names = [part for part in place if isinstance(part, str)]
    return SECTIONS.get(names[0], PlanFile) if len(names) > 1 else PlanFile
