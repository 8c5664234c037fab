"""`orchestrator doctor`: a table of everything a run depends on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.text import Text

from orchestrator.app.doctor import State, could_work, examine
from orchestrator.cli.console import glyph, stdout_console
from orchestrator.cli.tables import new_table
from orchestrator.domain.batch import ExitCode
from orchestrator.plans import load_plan
from orchestrator.settings import load_settings

SIGNS: Final = {State.OK: "✓", State.NOTE: "·", State.TROUBLE: "✗"}
STYLES: Final = {State.OK: "green", State.NOTE: "yellow", State.TROUBLE: "red"}


async def doctor(path: Path | None, *, overrides: Sequence[str]) -> int:
    """Examine, show, and say whether a run could work."""
    settings = load_settings()
    plan = None
    if path is not None:
        loaded = load_plan(
            path, overrides=overrides, environ=os.environ, data_message_limit=settings.data_message_limit
        )
        plan = loaded.plan
    findings = await examine(settings, plan)
    console = stdout_console()
    table = new_table("", "what", "finding")
    for finding in findings:
        sign = Text(f"{glyph(SIGNS[finding.state], console)} {finding.state}", style=STYLES[finding.state])
        remedy = f"\n-> {finding.remedy}" if finding.remedy else ""
        table.add_row(sign, Text(finding.name), Text(finding.detail + remedy))
    table.columns[0].no_wrap = True
    console.print(table)
    console.print()
    if could_work(findings):
        what = "this plan" if plan is not None else "a plan (name one to check its agent too)"
        console.print(f"A run of {what} could work.")
        return int(ExitCode.PASSED)
    console.print("A run could not work: mend what is marked as trouble.")
    return int(ExitCode.BAD_INPUT)
