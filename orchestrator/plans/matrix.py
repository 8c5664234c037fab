"""A matrix of bodies: its cells, and what is wrong with one.

Values are compared as JSON: 1 and true are two values, and so are 1 and 1.0.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

from orchestrator.plans.finding import Finding, Place, nearest, shortened
from orchestrator.plans.rendering import MARK_KEY, reserved_mark
from orchestrator.plans.section import MAX_RUNS
from orchestrator.plans.template import misplaced_findings

AXIS_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
PLACE: Final[Place] = ("matrix",)

Cell = Mapping[str, Any]


def cells_of(matrix: Any) -> tuple[dict[str, Any], ...]:
    """The cells in order: combinations of the axes, the last axis turning fastest, less `exclude`, then `include`.

    Empty where there is no matrix, or one whose shape is refused, or that has too many combinations to be counted out.
    """
    axes = _axes(matrix)
    if not axes or not all(axes.values()) or combinations(axes) > MAX_RUNS:
        return ()
    compared = {name: [(_text(value), value) for value in values] for name, values in axes.items()}
    rules = [{name: _text(value) for name, value in rule.items()}.items() for rule in _rules(matrix, "exclude")]
    kept = (
        {name: value for name, (_, value) in cell.items()}
        for cell in (dict(zip(axes, values, strict=True)) for values in product(*compared.values()))
        if not any(rule <= {name: text for name, (text, _) in cell.items()}.items() for rule in rules)
    )
    return (*kept, *(dict(one) for one in _rules(matrix, "include")))


def combinations(axes: Mapping[str, Sequence[Any]]) -> int:
    """How many combinations the axes have."""
    return math.prod(len(values) for values in axes.values())


def axis_names(matrix: Any) -> tuple[str, ...]:
    """The names that templates may read after `matrix.`."""
    return tuple(_axes(matrix))


def matrix_findings(matrix: Any) -> Iterator[Finding]:
    """What is wrong with a matrix beyond its shape."""
    if not isinstance(matrix, Mapping) or not isinstance(matrix.get("axes"), Mapping):
        return
    axes = _axes(matrix)
    yield from misplaced_findings({key: matrix.get(key) for key in ("axes", "include", "exclude")}, PLACE)
    yield from _axis_findings(matrix["axes"])
    for key in ("include", "exclude"):
        for index, rule in enumerate(_rules(matrix, key)):
            yield from _name_findings(rule, axes, (*PLACE, key, index), whole=key == "include")
    if combinations(axes) > MAX_RUNS:
        message = f"have {combinations(axes)} combinations, more than the {MAX_RUNS} runs of one batch"
        yield Finding(place=(*PLACE, "axes"), message=message, remedy="split the plan, or give fewer values")
    elif axes and all(axes.values()):
        yield from _rule_findings(matrix, axes)


def _axis_findings(axes: Mapping[str, Any]) -> Iterator[Finding]:
    if not axes:
        yield Finding(place=(*PLACE, "axes"), message="must not be empty", remedy="write axes: {locale: [en, de]}")
    for name, values in axes.items():
        place = (*PLACE, "axes", name)
        if not AXIS_NAME.fullmatch(name):
            message = "is no name for an axis: letters, digits, dashes and underscores, the first no digit"
            yield Finding(place=place, message=message, remedy="rename it; its values go into the body under this name")
        if name == MARK_KEY:
            yield reserved_mark(place)
        if not isinstance(values, list):
            message = f"must be a list of values, not {shortened(values)}"
            yield Finding(place=place, message=message, remedy=f"write {name}: [en, de]")
        elif not values:
            yield Finding(place=place, message="must not be empty", remedy=f"write {name}: [en, de], or leave it out")
        seen: set[str] = set()
        for value in values if isinstance(values, list) else ():
            if _text(value) in seen:
                yield Finding(place=place, message=f"must not repeat {shortened(value)}", remedy="keep one of them")
            seen.add(_text(value))


def _name_findings(rule: Cell, axes: Mapping[str, Any], place: Place, *, whole: bool) -> Iterator[Finding]:
    """Names of a rule that are no axes; axes that it lacks, where it must give a `whole` cell."""
    for name in rule:
        if name not in axes:
            suggestion = nearest(name, axes)
            remedy = f"did you mean {suggestion}?" if suggestion else f"the axes are {', '.join(axes)}"
            yield Finding(place=(*place, name), message=f"there is no axis {name}", remedy=remedy)
    missing = [name for name in axes if name not in rule]
    if whole and missing:
        message = f"does not give {', '.join(missing)}: a cell has a value of every axis"
        yield Finding(place=place, message=message, remedy=f"add {missing[0]}: ...")
    if not whole and not rule:
        yield Finding(place=place, message="would leave out every cell", remedy="name the values to leave out")


def _rule_findings(matrix: Mapping[str, Any], axes: Mapping[str, list[Any]]) -> Iterator[Finding]:
    """Rules that do nothing: a person who wrote one meant something else."""
    values = {name: {_text(value) for value in values} for name, values in axes.items()}
    excluded = _rules(matrix, "exclude")
    for index, rule in enumerate(excluded):
        if all(name in axes for name in rule) and not all(_text(rule[name]) in values[name] for name in rule):
            message = "leaves nothing out: no combination of the axes is equal to it"
            yield Finding(place=(*PLACE, "exclude", index), message=message, remedy="mend its values, or leave it out")
    made: set[str] = set()
    for index, cell in enumerate(_rules(matrix, "include")):
        combined = cell.keys() == axes.keys() and all(_text(cell[name]) in values[name] for name in axes)
        there = combined and not any(_matches(cell, rule) for rule in excluded)
        if there or _text(cell) in made:
            message = "adds a cell that there is already"
            yield Finding(place=(*PLACE, "include", index), message=message, remedy="leave it out")
        made.add(_text(cell))
    if not cells_of(matrix):
        yield Finding(place=(*PLACE, "exclude"), message="leaves no cell", remedy="leave out less")


def _matches(cell: Cell, rule: Cell) -> bool:
    return all(name in cell and _text(cell[name]) == _text(value) for name, value in rule.items())


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _axes(matrix: Any) -> dict[str, list[Any]]:
    axes = matrix.get("axes") if isinstance(matrix, Mapping) else None
    if not isinstance(axes, Mapping):
        return {}
    return {name: values for name, values in axes.items() if isinstance(values, list)}


def _rules(matrix: Any, key: str) -> list[Cell]:
    rules = matrix.get(key) if isinstance(matrix, Mapping) else None
    return [rule for rule in rules if isinstance(rule, Mapping)] if isinstance(rules, list) else []
