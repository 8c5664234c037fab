"""`orchestrator import`: a plan from a request to Cekura's automated flows, or from a tests-as-code file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.cli.edge import print_json
from orchestrator.domain.channel import Channel
from orchestrator.domain.errors import InvalidSettings, Problem
from orchestrator.plans.importing import Imported, Wishes, plan_of_requests
from orchestrator.plans.json_text import ROOT, invalid_source, read_json
from orchestrator.plans.requests import EXPECTED, read_requests
from orchestrator.plans.source import SIZE_LIMIT
from orchestrator.plans.suite import is_suite, plan_of_suite, read_suite
from orchestrator.plans.writing import plain_line, plan_text

STDIN: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOrder:
    """What was typed."""

    source: str
    to: Channel | None
    cekura_agent_id: int | None
    agent_name: str | None
    agent_url: str | None
    output: Path | None
    force: bool
    partial: bool
    as_json: bool


async def import_plan(order: ImportOrder) -> int:
    """Read, convert, check that the plan loads, and only then write it."""
    _check_output(order)
    data = read_json(_content(order.source))
    imported = await _imported(data, order)
    head = [f"Imported from {_named(order.source)} by orchestrator import.", *(f"- {note}" for note in imported.notes)]
    text = plan_text(imported.plan, head=head, remarks=imported.remarks)
    if order.output is not None:
        _write(order.output, text, force=order.force)
    if order.as_json:
        print_json({"plan": imported.plan, "notes": list(imported.notes)})
    elif order.output is None:
        sys.stdout.write(text)
    for note in imported.notes:
        sys.stderr.write(f"note: {plain_line(note)}\n")
    return 0


async def _imported(data: Any, order: ImportOrder) -> Imported:
    wishes = Wishes(
        to=order.to,
        agent_name=order.agent_name,
        agent_url=order.agent_url,
        cekura_agent_id=order.cekura_agent_id,
    )
    if not isinstance(data, Mapping):
        raise _not_a_source(f"is a {type(data).__name__}, not an object of keys and values")
    if is_plan(data):
        remedy = "`orchestrator plan FILE` shows it; `orchestrator run FILE` carries it out"
        raise _not_a_source("is a plan already", remedy)
    if not is_suite(data):
        return plan_of_requests(read_requests(data, wanted=order.to), wishes)
    return await _of_suite(data, wishes, partial=order.partial)


def is_plan(data: Mapping[str, Any]) -> bool:
    """Whether this is a plan of ours: `version` is a number there, and text in a tests-as-code file."""
    version = data.get("version")
    return isinstance(version, int) and not is_suite(data)


async def _of_suite(data: Mapping[str, Any], wishes: Wishes, *, partial: bool) -> Imported:
    from orchestrator.app.moving import scenarios_of_agent
    from orchestrator.clock import SystemClock
    from orchestrator.settings import load_settings

    suite = read_suite(data)
    if wishes.cekura_agent_id is None:
        next_step = "Add --agent ID, Cekura's number of the agent whose scenarios bear the names of the file."
        raise InvalidSettings("a tests-as-code file does not name its agent", next_step=next_step)
    at_cekura = await scenarios_of_agent(load_settings(), wishes.cekura_agent_id, clock=SystemClock())
    return plan_of_suite(suite, at_cekura, wishes, partial=partial)


def _not_a_source(message: str, remedy: str = EXPECTED) -> Exception:
    return invalid_source(Problem(path=ROOT, message=message, remedy=remedy))


def _content(source: str) -> bytes:
    """At most a little more than may be read, so that what is too large is seen to be."""
    if source == STDIN:
        return sys.stdin.buffer.read(SIZE_LIMIT + 1)
    try:
        with Path(source).open("rb") as file:
            return file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise _not_a_source(
            f"cannot be read: {error.strerror} ({source})", "check the path, or give - for stdin"
        ) from error


def _named(source: str) -> str:
    return "stdin" if source == STDIN else Path(source).name


def _check_output(order: ImportOrder) -> None:
    if order.output is not None and order.output.exists() and not order.force:
        raise _exists(order.output)


def _exists(path: Path) -> InvalidSettings:
    return InvalidSettings(f"{path} exists already", next_step="Name another --output, or add --force to replace it.")


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}"
        raise InvalidSettings(message, next_step="Name an --output in a folder that may be written.") from error
