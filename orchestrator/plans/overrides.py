"""`--set KEY=VALUE`: one value of a plan changed on the command line, as if the file had said so."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.errors import Problem
from orchestrator.plans.finding import Place, dotted
from orchestrator.plans.source import parse

OPTION = "--set"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overridden:
    """The data with every override in it, which places they set, and which overrides made no sense."""

    data: Any
    places: tuple[Place, ...]
    problems: tuple[Problem, ...]

    def covers(self, place: Place) -> bool:
        """True where the value at `place` came from an override."""
        return any(place[: len(ours)] == ours for ours in self.places)


def override(data: Any, overrides: Sequence[str]) -> Overridden:
    """`data` with each KEY=VALUE applied in turn: KEY is dotted (`scenarios.0.repeat`), VALUE is read as YAML."""
    result = copy.deepcopy(data)
    places: list[Place] = []
    problems: list[Problem] = []
    for text in overrides:
        key, equals, value_text = text.partition("=")
        if not equals or not all(key.split(".")):
            problems.append(_problem(key, "must read KEY=VALUE", f"write {OPTION} limits.calls=4"))
            continue
        value = parse(value_text)
        problems += [_problem(key, problem.message, problem.remedy) for problem in value.problems]
        if value.problems:
            continue
        try:
            places.append(_put(result, key.split("."), value.data))
        except _NoSuchPlaceError as error:
            problems.append(_problem(key, str(error), "name a place the plan has, like scenarios.0.repeat"))
    return Overridden(data=result, places=tuple(places), problems=tuple(problems))


class _NoSuchPlaceError(Exception):
    """An override leads into something that is no mapping, or past the end of a list."""


def _put(data: Any, parts: Sequence[str], value: Any) -> Place:
    """Set the value and say where; mappings that are not there yet are made on the way."""
    place: tuple[str | int, ...] = ()
    container = data
    for position, part in enumerate(parts):
        step = _step(container, part, place)
        place = (*place, step)
        if position == len(parts) - 1:
            container[step] = value
        elif isinstance(container, dict):
            if container.get(step) is None:
                container[step] = {}
            container = container[step]
        else:
            container = container[step]
    return place


def _step(container: Any, part: str, place: Place) -> str | int:
    if isinstance(container, dict):
        return part
    if isinstance(container, list):
        if part.isascii() and part.isdigit() and int(part) < len(container):
            return int(part)
        message = f"{dotted(place)} has {len(container)} entries, numbered from 0; there is no {part}"
        raise _NoSuchPlaceError(message)
    message = f"{dotted(place)} is a single value; nothing can be set inside it"
    raise _NoSuchPlaceError(message)


def _problem(key: str, message: str, remedy: str) -> Problem:
    return Problem(path=f"{OPTION} {key}", message=message, remedy=remedy)
