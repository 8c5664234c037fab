"""`orchestrator plan`: what would run, in which order and at what cost; nothing is started and nobody is asked."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from orchestrator.cli.console import duration, stdout_console
from orchestrator.cli.edge import print_json
from orchestrator.cli.tables import counted, new_table
from orchestrator.domain.errors import InvalidSettings
from orchestrator.domain.plan import Plan
from orchestrator.plans import (
    LoadedPlan,
    PlannedRun,
    estimate,
    expand,
    json_schema,
    load_plan,
    render_run,
    room_seconds,
)
from orchestrator.settings import load_settings

BATCH_ID = "BATCH-ID"
SHOWN_VALUE = "(from the environment)"


async def plan(path: Path | None, *, overrides: Sequence[str], as_json: bool, schema: bool) -> int:
    """Show a plan as it would be carried out, or the schema of all plans."""
    if schema:
        sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
        return 0
    if path is None:
        raise InvalidSettings("there is no PLAN to show", next_step="Name a plan file, or ask for --schema.")
    settings = load_settings()
    loaded = load_plan(path, overrides=overrides, environ=os.environ, data_message_limit=settings.data_message_limit)
    document = plan_preview(loaded)
    if as_json:
        print_json(document)
    else:
        _print(stdout_console(), loaded.plan, document)
    return 0


def plan_preview(loaded: LoadedPlan) -> dict[str, Any]:
    """The plan as JSON: `plan`, `runs` with what each bot and room would be given, `rules`, `estimate`, `warnings`.

    Ids are placeholders, and what a template takes from the environment is not shown: it may be a secret.
    """
    masked = dict.fromkeys(loaded.plan.env_names, SHOWN_VALUE)
    return {
        "plan": loaded.document,
        "digest": loaded.plan.digest,
        "runs": [_run(loaded.plan, planned, masked) for planned in expand(loaded.plan)],
        "rules": rules(loaded.plan),
        "estimate": {**asdict(estimate(loaded.plan)), "room_seconds": room_seconds(loaded.plan)},
        "warnings": list(loaded.warnings),
    }


def _run(plan: Plan, planned: PlannedRun, environ: Mapping[str, str]) -> dict[str, Any]:
    rendered = render_run(
        plan,
        scenario=planned.scenario,
        run_id=f"{BATCH_ID}-{planned.index:03d}",
        run_index=planned.index,
        batch_id=BATCH_ID,
        environ=environ,
    )
    message = {"publish_data_message": rendered.publish_data_message} if rendered.has_data_message else {}
    return {"index": planned.index, "scenario": planned.scenario.scenario_id, "body": rendered.body, **message}


def rules(plan: Plan) -> list[str]:
    """What a person may want to know of how the batch will be driven, one sentence each."""
    limits, timeouts, gate = plan.limits, plan.timeouts, plan.gate
    mocked = plan.mock_tool_names
    tools = "every configured tool" if mocked is None else (", ".join(mocked) or "no tool")
    return [
        (
            f"at most {limits.concurrency} sessions and {limits.calls} calls at once, {limits.starts_per_second:g}"
            f" starts a second; a call slot frees: {limits.call_slot_until.value}"
        ),
        *_ahead(plan),
        f"a bot counts as ready by {', '.join(plan.readiness.evidence)}, within {timeouts.ready:g} s of its start",
        f"a call has {timeouts.run:g} s from its submission; its verdict {timeouts.judge:g} s from the call's end",
        f"where infrastructure fails a run, it gets a new session; so many times: {plan.infrastructure_retries}",
        f"Cekura mocks {tools}",
        f"the gate asks for {gate.min_pass_rate:.1%} of conclusive runs; {gate.max_inconclusive} may be inconclusive",
    ]


def _ahead(plan: Plan) -> list[str]:
    """Whether bots will be ready when call slots free; nothing where every run has a slot from the beginning."""
    if plan.run_count <= plan.limits.calls:
        return []
    if plan.limits.concurrency <= plan.limits.calls:
        spare = "a limits.concurrency a third above limits.calls lets bots be ready as slots free"
        return [f"no session is to spare beyond the calls, so each call slot waits for its next bot; {spare}"]
    return [f"sessions are started ahead of the call slots that are about to free; prefer: {plan.prefer.value}"]


def _print(console: Console, plan: Plan, document: Mapping[str, Any]) -> None:
    target = f"{plan.agent.label} ({plan.agent.kind.value})"
    console.print(f"{plan.name}: {counted(plan.run_count, 'run')} with {target}. Nothing was started.", soft_wrap=True)
    console.print()
    table = new_table("run", "scenario", "body", "data message")
    for run in document["runs"]:
        message = json.dumps(run["publish_data_message"], ensure_ascii=False) if "publish_data_message" in run else "-"
        table.add_row(
            str(run["index"]),
            str(run["scenario"]),
            Text(json.dumps(run["body"], ensure_ascii=False)),
            Text(message),
        )
    console.print(table)
    console.print()
    for rule in document["rules"]:
        console.print(f"- {rule}", soft_wrap=True)
    console.print()
    for line in _estimate_lines(document["estimate"]):
        console.print(line, soft_wrap=True)
    for warning in document["warnings"]:
        console.print(f"warning: {warning}", style="yellow", soft_wrap=True)


def _estimate_lines(figures: Mapping[str, Any]) -> list[str]:
    return [
        (
            f"Time: about {duration(figures['seconds'])} with calls of {duration(figures['call_seconds'])}; each room"
            f" lives {duration(figures['room_seconds'])} at most."
        ),
        (
            f"Cost: about {figures['credits_low']:.0f} Cekura credits (5 a minute, without metrics) and"
            f" {figures['session_minutes']:.0f} session minutes; at worst {figures['credits_high']:.0f} credits for"
            f" {figures['worst_case_call_minutes']:.0f} call minutes, every call at its timeout and every retry used."
        ),
    ]
