"""Templates in a plan: `{{ run.id }}` and a handful of other names, in the string values of bodies and data messages.

A string that is exactly one template keeps the type of its value (`"{{ run.index }}"` becomes a number); inside other
text the value is written out. `{{ '{{' }}` stands for two literal braces, for agents that have templates of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from orchestrator.plans.finding import Finding, Place, nearest

RUN_NAMES: Final = ("run.id", "run.index", "run.scenario", "batch.id")
ENV_PREFIX: Final = "env."
MATRIX_PREFIX: Final = "matrix."

OPENING: Final = "{{"

_LITERALS: Final = frozenset({"'{{'", '"{{"'})
# Each alternative runs over its text once: nothing to backtrack into, however long the text.
_TEMPLATE: Final = re.compile(r"""\{\{\s*('\{\{'|"\{\{")\s*\}\}|\{\{([^{}]*)\}\}""")
_LITERAL_REMEDY: Final = "write {{ '{{' }} where two literal braces are meant"

Scope = Mapping[str, Any]  # JSON values


def render(value: Any, scope: Scope) -> Any:
    """`value` with every template in its string values replaced from `scope`; keys are left alone.

    KeyError for a name that `scope` lacks: plans are checked with `template_findings` first.
    """
    if isinstance(value, str):
        return _rendered_text(value, scope)
    if isinstance(value, Mapping):
        return {key: render(item, scope) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [render(item, scope) for item in value]
    return value


def _rendered_text(text: str, scope: Scope) -> Any:
    whole = _TEMPLATE.fullmatch(text)
    if whole is not None:
        return _value_of(_name_in(whole), scope)
    return _TEMPLATE.sub(lambda match: _written(_value_of(_name_in(match), scope)), text)


def _written(value: Any) -> str:
    """A value inside other text: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name_in(match: re.Match[str]) -> str:
    return str(match[1] or match[2]).strip()


def _value_of(name: str, scope: Scope) -> Any:
    return OPENING if name in _LITERALS else scope[name]


def template_findings(
    value: Any, place: Place, *, env_names: Sequence[str], axes: Sequence[str] = ()
) -> Iterator[Finding]:
    """Templates under `place` that could not be rendered: unknown names, unlisted variables, braces left open.

    `axes` are those of the plan's matrix.
    """
    for where, text in texts_in(value, place):
        for match in _TEMPLATE.finditer(text):
            yield from _name_findings(_name_in(match), where, env_names=env_names, axes=axes)
        if OPENING in _TEMPLATE.sub("", text):
            yield Finding(place=where, message="a template is opened with {{ and not closed", remedy=_LITERAL_REMEDY)
    for where in _templated_keys(value, place):
        yield Finding(place=where, message="a template in a key is not rendered", remedy="use templates in values only")


def misplaced_findings(value: Any, place: Place) -> Iterator[Finding]:
    """Templates where none are rendered."""
    for where, text in texts_in(value, place):
        if OPENING in text:
            message = "templates are rendered in `body` and `publish_data_message` only"
            yield Finding(place=where, message=message, remedy="write the value out")


def templates_in(value: Any, place: Place) -> Iterator[Place]:
    """Where under `place` a string value holds a template."""
    return (where for where, text in texts_in(value, place) if OPENING in text)


def _name_findings(name: str, place: Place, *, env_names: Sequence[str], axes: Sequence[str]) -> Iterator[Finding]:
    of_matrix = [f"{MATRIX_PREFIX}{axis}" for axis in axes]
    if name in RUN_NAMES or name in _LITERALS or name in of_matrix:
        return
    if name.startswith(ENV_PREFIX):
        variable = name.removeprefix(ENV_PREFIX)
        if variable not in env_names:
            yield Finding(
                place=place,
                message=f"{{{{ {name} }}}} reads a variable the plan does not list",
                remedy=f"list it at the top of the plan: env: [{variable}]",
            )
        return
    known = [*RUN_NAMES, *(f"{ENV_PREFIX}{variable}" for variable in env_names), *of_matrix]
    suggestion = nearest(name, known)
    remedy = (
        f"did you mean {{{{ {suggestion} }}}}?" if suggestion else f"known names: {', '.join(known)}; {_LITERAL_REMEDY}"
    )
    yield Finding(place=place, message=f"{{{{ {name} }}}} is no known name", remedy=remedy)


def names_in(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """Every name that a template under `place` reads, with its place."""
    for where, text in texts_in(value, place):
        yield from ((where, _name_in(match)) for match in _TEMPLATE.finditer(text))


def texts_in(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    """Every text under `place`, with its own place."""
    if isinstance(value, str):
        yield place, value
    for part, item in _children(value):
        yield from texts_in(item, (*place, part))


def _templated_keys(value: Any, place: Place) -> Iterator[Place]:
    for part, item in _children(value):
        if isinstance(part, str) and OPENING in part:
            yield (*place, part)
        yield from _templated_keys(item, (*place, part))


def _children(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
