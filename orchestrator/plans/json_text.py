"""JSON text that others wrote, read completely or refused with line and column: bounded, and nothing in it twice."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from orchestrator.domain.errors import InvalidPlan, Problem
from orchestrator.plans.finding import shortened
from orchestrator.plans.source import SIZE_LIMIT, from_json

ROOT: Final = "source"
NEXT_STEP: Final = "Mend the source, or choose other options, and import it again; nothing was written."


def invalid_source(*problems: Problem) -> InvalidPlan:
    """What is raised for a source that no plan can be made of."""
    error = InvalidPlan(problems)
    error.next_step = NEXT_STEP
    return error


def read_json(content: bytes) -> Any:
    """The data; InvalidPlan for what is no JSON (with its line and column), too large, too deep or ambiguous."""
    if len(content) > SIZE_LIMIT:
        raise _refused(f"is larger than {SIZE_LIMIT} bytes", "split it, and import each part")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _refused("is not UTF-8 text", "save it as UTF-8", line=line) from error
    source = from_json(_parsed(text), root=ROOT)
    if source.problems:
        raise invalid_source(*source.problems)
    return source.data


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        message = f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        remedy = "give the JSON of a request's body, or of a tests-as-code file"
        raise _refused(message, remedy, line=error.lineno) from error
    except RecursionError as error:
        raise _refused("is nested too deeply", "give the JSON that Cekura takes") from error
    except ValueError as error:  # also a whole number of more digits than Python reads
        raise _refused(f"cannot be read: {shortened(str(error), 120)}", "write each key once, and numbers") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        message = f"the key {shortened(twice)} is given twice in one object"
        raise ValueError(message)
    return found


def _no_number(word: str) -> NoReturn:
    message = f"{word} is not a number that JSON has"
    raise ValueError(message)


def _refused(message: str, remedy: str, *, line: int | None = None) -> InvalidPlan:
    return invalid_source(Problem(path=ROOT, message=message, line=line, remedy=remedy))
