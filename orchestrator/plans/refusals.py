"""What pydantic found wrong with the shape of a file, said so that a person knows what to write instead."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from orchestrator.plans.finding import Finding, Place, dotted, nearest, shortened
from orchestrator.plans.model import SECTIONS, TAG, PlanFile
from orchestrator.plans.section import AGENT_NAME, PHONE_NUMBER, PLAN_NAME, VARIABLE_NAME, Section
from orchestrator.plans.timetable import TIME_OF_DAY

# Keys people expect, from Cekura's other flows or from where this project is going, that nothing here acts on yet.
NOT_BUILT: Final[Mapping[str, str]] = {
    "budget": "bound the work with `limits` and `repeat`",
    "schedule": "start `orchestrator run` from your scheduler",
    "status_url": "use presence, record, probe or settle as evidence",
}
NOT_BUILT_KINDS: Final = ("http", "command")
# What a notice could tell and does not: whoever opens a share link reads every transcript of its result.
NOT_TOLD: Final[Mapping[str, str]] = {
    "share_links": "use links, which ask for a login at Cekura",
    "transcripts": "use links: transcripts stay at Cekura",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a file may hold: `root` is its top, `sections` the homes of keys by name, `what` the word for the file.

    `not_built`: keys people expect there that nothing acts on yet, each with what to do instead.
    """

    root: type[Section]
    sections: Mapping[str, type[Section]]
    what: str
    not_built: Mapping[str, str]


PLAN: Final = Shape(root=PlanFile, sections=SECTIONS, what="the plan", not_built=NOT_BUILT)

_PLAIN_TEXT: Final = re.compile(r'"([A-Za-z0-9][A-Za-z0-9_ ./-]*)"')
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
    PHONE_NUMBER: 'a telephone number in quotes, such as "+15550100001"',
    PLAN_NAME: "lower-case letters, digits, dots, dashes and underscores",
    TAG: "a tag without commas",
    TIME_OF_DAY: 'a time of day in quotes, such as "08:00" or "24:00"',
    VARIABLE_NAME: "the name of an environment variable: letters, digits and underscores",
}


def shape_findings(data: Mapping[str, Any], shape: Shape = PLAN) -> Iterator[Finding]:
    """Every way in which `data` is not of that shape, all at once."""
    try:
        shape.root.model_validate(data)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            yield _finding(shape, details)


def _finding(shape: Shape, details: ErrorDetails) -> Finding:
    place: Place = tuple(details["loc"])
    kind = details["type"]
    if kind == "extra_forbidden":
        return _unknown_key(shape, place)
    if kind == "missing":
        return Finding(place=place, message="is missing", remedy=f"add {_example_line(shape, place)}")
    if kind in _KINDS:
        return _wrong_type(shape, place, _KINDS[kind], details["input"])
    if kind == "literal_error":
        return _not_allowed(shape, place, details)
    return Finding(place=place, message=_other_message(shape, place, details), remedy=_write(shape, place))


def _unknown_key(shape: Shape, place: Place) -> Finding:
    key = str(place[-1])
    if key in shape.not_built:
        return Finding(place=place, message=f"this version does not support {key} yet", remedy=shape.not_built[key])
    known = keys_of(_model_of(shape, place))
    suggestion = nearest(key, known)
    if suggestion is not None:
        return Finding(place=place, message=f"unknown key {key}", remedy=f"did you mean {suggestion}?")
    if (home := _home_of(shape, key)) is not None:
        return Finding(place=place, message=f"unknown key {key} here", remedy=f"did you mean {home}?")
    return Finding(place=place, message=f"unknown key {key}", remedy=f"known keys here: {', '.join(known)}")


def _home_of(shape: Shape, key: str) -> str | None:
    """Where a key would be at home, for one written in the wrong section."""
    if key in keys_of(shape.root):
        return f"{key} at the top of {shape.what}"
    homes = [f"{section}.{key}" for section, model in shape.sections.items() if key in keys_of(model)]
    return homes[0] if len(homes) == 1 else None


def _wrong_type(shape: Shape, place: Place, message: str, given: Any) -> Finding:
    if given is None:
        return Finding(
            place=place, message=f"is empty; it {message}", remedy=_write(shape, place, otherwise="leave it out")
        )
    remedy = _write(shape, place)
    if isinstance(given, str) and "number" in message and _reads_as_number(given):
        remedy = f"write {given.strip()} without quotes"
    elif message.endswith("text") and isinstance(given, bool | int | float):
        remedy = f'quote it: "{json.dumps(given)}"'
    return Finding(place=place, message=f"{message}, not {shortened(given)}", remedy=remedy)


def _not_allowed(shape: Shape, place: Place, details: ErrorDetails) -> Finding:
    given = details["input"]
    if place == ("agent", "kind") and given in NOT_BUILT_KINDS:
        return Finding(
            place=place,
            message=f"this version does not support kind {given} yet",
            remedy="use pipecat_cloud, or pipecat_runner with a url",
        )
    if place[0] == "notifications" and (instead := NOT_TOLD.get(str(given))) is not None:
        return Finding(place=place, message=f"notices never hold {given}", remedy=instead)
    allowed = str(details["ctx"]["expected"]).replace("'", "")
    suggestion = nearest(given, allowed.replace(" or ", ", ").split(", ")) if isinstance(given, str) else None
    remedy = f"did you mean {suggestion}?" if suggestion else _write(shape, place)
    return Finding(place=place, message=f"must be {allowed}, not {shortened(given)}", remedy=remedy)


def _other_message(shape: Shape, place: Place, details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            return f"must be {_range_of(shape, place, context)}, not {shortened(details['input'])}"
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


def _range_of(shape: Shape, place: Place, context: Mapping[str, Any]) -> str:
    field = _field_at(shape, place)
    bounds = dict(context)
    for constraint in field.metadata if field is not None else ():
        bounds |= {name: getattr(constraint, name) for name in ("ge", "gt", "le", "lt") if hasattr(constraint, name)}
    if {"ge", "le"} <= bounds.keys():
        return f"from {_plain(bounds['ge'])} to {_plain(bounds['le'])}"
    words = {"ge": "at least {}", "gt": "more than {}", "le": "at most {}", "lt": "less than {}"}
    return " and ".join(text.format(_plain(bounds[name])) for name, text in words.items() if name in bounds)


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _write(shape: Shape, place: Place, otherwise: str = "") -> str:
    field = _field_at(shape, place)
    if field is None or not field.examples:
        return otherwise
    return f"write {_example_line(shape, place)}" + (
        f", or {otherwise}" if otherwise and not field.is_required() else ""
    )


def _example_line(shape: Shape, place: Place) -> str:
    field = _field_at(shape, place)
    examples = field.examples if field is not None else None
    if not examples:
        return dotted(place)
    if isinstance(place[-1], str):
        return f"{place[-1]}: {_flow(examples[0])}"
    element = examples[0][0]
    return f"- {_flow(element)}" if isinstance(element, Mapping) else _flow(element)


def _flow(value: Any) -> str:
    """An example as YAML in one line, quoted where YAML might read it as something else."""
    return _PLAIN_TEXT.sub(r"\1", json.dumps(value, ensure_ascii=False))


def _field_at(shape: Shape, place: Place) -> FieldInfo | None:
    return keys_of(_model_of(shape, place)).get(_key_of(place))


def _key_of(place: Place) -> str:
    return next((part for part in reversed(place) if isinstance(part, str)), "")


def _model_of(shape: Shape, place: Place) -> type[Section]:
    """The section whose key `place` ends in: a list's entry is described by the model of its entries."""
    model = shape.root
    for name in [part for part in place if isinstance(part, str)][:-1]:
        field = keys_of(model).get(name)
        within = _section_in(field.annotation) if field is not None else None
        if within is None:
            break
        model = within
    return model


def keys_of(model: type[Section]) -> dict[str, FieldInfo]:
    """The keys of a section as they are written."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    found = (_section_in(part) for part in get_args(annotation))
    return next((section for section in found if section is not None), None)
