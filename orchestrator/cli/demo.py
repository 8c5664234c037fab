"""`orchestrator demo`: a whole batch against a sandbox in this process; no keys, no network, nothing kept."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestrator.app.demo import FAULTS, demo_plan, differences, failed, retried
from orchestrator.cli.console import stderr_console, stdout_console
from orchestrator.cli.progress import teller_for
from orchestrator.cli.run import Assignment, drive
from orchestrator.cli.sandbox import world_line
from orchestrator.cli.tables import print_report
from orchestrator.clock import SystemClock
from orchestrator.domain.batch import ExitCode
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.settings import load_settings


async def demo(*, speed: float, keep: bool) -> int:
    """Play the scripted batch; 0 when it ended as scripted, 1 with what differed."""
    loaded = demo_plan()
    teller = teller_for(stderr_console(), SystemClock())
    folder = Path(tempfile.mkdtemp(prefix="orchestrator-demo-"))
    with ExitStack() as ending:
        if not keep:
            ending.callback(shutil.rmtree, folder, ignore_errors=True)
        async with Sandbox(SandboxSettings(speed=speed, faults=FAULTS)) as sandbox:
            teller.note(f"A sandbox plays Pipecat Cloud, Daily and Cekura on this machine: {sandbox.url}/world")
            database_url = f"sqlite:///{folder / 'state.db'}"
            assignment = Assignment(
                command="orchestrator demo",
                # Only the sandbox's own keys and addresses: real ones in the environment are not read.
                settings=load_settings({**sandbox.environment(), "ORCHESTRATOR_DATABASE_URL": database_url}),
                environ={},
                plan=loaded.plan,
                speed=speed,
                loaded=loaded,
            )
            report = await drive(assignment, teller)
            world = sandbox.world()
        console = stdout_console()
        print_report(console, report.document)
        console.print()
        if keep:
            console.print(f"The state is kept: export ORCHESTRATOR_DATABASE_URL={database_url}", soft_wrap=True)
        if report.document["batch"]["cancelled"]:
            return int(ExitCode.CANCELLED)
        return _judge(console, report.document, world)


def _judge(console: Console, document: Mapping[str, Any], world: Mapping[str, Any]) -> int:
    console.print(f"The sandbox's world: {world_line(world)}.", soft_wrap=True)
    for run in failed(document):
        console.print(f"Run {run['index']} failed its evaluation: {run['reason']}", soft_wrap=True)
    for run in retried(document):
        why = "; ".join(one["reason"] for one in run["earlier_attempts"])
        console.print(f"Run {run['index']} was tried again with a new session: {why}", soft_wrap=True)
    batch = document["batch"]
    console.print(f"`orchestrator run` would have ended with {batch['exit_code']} ({batch['exit_meaning']}).")
    wrong = differences(document, world)
    for line in wrong:
        console.print(f"Not as scripted: {line}", soft_wrap=True)
    if not wrong:
        console.print("The demo ended as scripted.")
        console.print("Nothing is left: every session and room it started is confirmed gone.")
    return 1 if wrong else 0
