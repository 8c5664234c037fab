"""`orchestrator plan`: what would run, in which order and at what cost; nothing is started.

Nobody is asked either, except Cekura for the scenarios that a plan selects, where there is a key.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.app.moving import as_automated
from orchestrator.app.preview import plan_preview
from orchestrator.app.report import scenario_label
from orchestrator.app.selection import resolve_alone
from orchestrator.cli.console import duration, stdout_console
from orchestrator.cli.edge import print_json
from orchestrator.cli.options import Flow
from orchestrator.cli.tables import counted, new_table
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import InvalidSettings
from orchestrator.domain.plan import Plan
from orchestrator.plans import json_schema, load_plan
from orchestrator.settings import load_settings


async def plan(path: Path | None, *, overrides: Sequence[str], as_json: bool, schema: bool, flow: Flow | None) -> int:
    """Show a plan as it would be carried out, or as requests to Cekura's automated flow; or the schema of all plans."""
    if schema:
        sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
        return 0
    if path is None:
        raise InvalidSettings("there is no PLAN to show", next_step="Name a plan file, or ask for --schema.")
    settings = load_settings()
    loaded = load_plan(path, overrides=overrides, environ=os.environ, data_message_limit=settings.data_message_limit)
    if settings.cekura_api_key is not None:
        loaded = await resolve_alone(loaded, settings, clock=SystemClock())
    if flow is not None:
        print_json(as_automated(loaded.plan))
        return 0
    document = plan_preview(loaded)
    if as_json:
        print_json(document)
    else:
        _print(stdout_console(), loaded.plan, document)
    return 0


def _print(console: Console, plan: Plan, document: Mapping[str, Any]) -> None:
    how = plan.channel.value if plan.channel.automated else plan.agent.kind.value
    target = f"{plan.agent.label} ({how})"
    runs = f"{counted(plan.run_count, 'run')}{', and those of what it selects,' if plan.selections else ''}"
    console.print(f"{plan.name}: {runs} with {target}. Nothing was started.", soft_wrap=True)
    console.print()
    console.print(_table(plan, document["runs"]))
    console.print()
    console.print(f"{document['arithmetic']}.", soft_wrap=True)
    for rule in document["rules"]:
        console.print(f"- {rule}", soft_wrap=True)
    if document["ramp"] is not None:
        console.print()
        console.print(_levels(document["ramp"]))
    console.print()
    for line in _estimate_lines(document["estimate"]) if document["estimate"] is not None else ():
        console.print(line, soft_wrap=True)
    for warning in document["warnings"]:
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)


def _table(plan: Plan, runs: Iterable[Mapping[str, Any]]) -> Table:
    given = ("personality", "test profile") if plan.channel.automated else ("body",)
    table = new_table("run", "scenario", *given, "data message")
    for run in runs:
        message = json.dumps(run["publish_data_message"], ensure_ascii=False) if "publish_data_message" in run else "-"
        cells = [str(run[key] or "-") for key in ("personality_id", "test_profile_id") if key in run]
        if "body" in run:
            cells.append(json.dumps(run["body"], ensure_ascii=False))
        table.add_row(str(run["index"]), Text(_scenario(run)), *map(Text, cells), Text(message))
    return table


def _scenario(run: Mapping[str, Any]) -> str:
    """Its scenario and cell; what else was asked for has columns of its own."""
    return scenario_label({"scenario": run["scenario"], "matrix": run.get("matrix")})


def _levels(ramp: Mapping[str, Any]) -> Table:
    """When the ramp is at which level."""
    table = new_table("from second", "calls at once")
    for one in ramp["levels"]:
        table.add_row(f"{one['from_second']:g}", str(one["calls"]))
    if ramp["levels_left_out"]:
        table.caption = f"{counted(ramp['levels_left_out'], 'level')} between these not listed"
        table.caption_justify = "left"
    return table


def _estimate_lines(figures: Mapping[str, Any]) -> list[str]:
    rooms = f"; each room lives {duration(figures['room_seconds'])} at most" if "room_seconds" in figures else ""
    return [
        f"Time: about {duration(figures['seconds'])} with calls of {duration(figures['call_seconds'])}{rooms}.",
        (
            f"Cost: about {figures['credits_low']:.0f} Cekura credits (5 a minute, without metrics) and"
            f" {figures['session_minutes']:.0f} session minutes; at worst {figures['credits_high']:.0f} credits for"
            f" {figures['worst_case_call_minutes']:.0f} call minutes, every call at its timeout and every retry used."
        ),
    ]
