"""`schedules`: what can be typed to look at schedules and to steer them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.edge import carry_out
from orchestrator.cli.options import AsJson, Logged
from orchestrator.cli.records import new_group

schedules = new_group(
    "schedules",
    "List, show, pause, resume and fire schedules beside a running worker; check a service file.",
    "orchestrator schedules show nightly",
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]


@schedules.command("list", epilog="Example:\n\norchestrator schedules list --json")
def list_schedules(*, as_json: AsJson = False, log_level: Logged = None) -> None:
    """List schedules, each with its next fire and its last."""
    from orchestrator.cli import schedules as work

    carry_out(lambda: work.list_schedules(as_json=as_json), as_json=as_json, log_level=log_level)


@schedules.command("show", epilog="Example:\n\norchestrator schedules show nightly")
def show(name: Name, *, as_json: AsJson = False, log_level: Logged = None) -> None:
    """Show one schedule: its rule, its next ten fires on its own clock and in UTC, and what became of the latest."""
    from orchestrator.cli import schedules as work

    carry_out(lambda: work.show_schedule(name, as_json=as_json), as_json=as_json, log_level=log_level)


@schedules.command("pause", epilog="Example:\n\norchestrator schedules pause nightly")
def pause(name: Name, *, as_json: AsJson = False, log_level: Logged = None) -> None:
    """Let a schedule rest, over restarts too; open batches go on."""
    from orchestrator.cli import schedules as work

    carry_out(lambda: work.pause(name, as_json=as_json), as_json=as_json, log_level=log_level)


@schedules.command("resume", epilog="Example:\n\norchestrator schedules resume nightly")
def resume(name: Name, *, as_json: AsJson = False, log_level: Logged = None) -> None:
    """Let it fire again from now on; what came due meanwhile is not made up for."""
    from orchestrator.cli import schedules as work

    carry_out(lambda: work.resume(name, as_json=as_json), as_json=as_json, log_level=log_level)


@schedules.command("fire", epilog="Example:\n\norchestrator schedules fire nightly --overlap allow")
def fire(
    name: Name,
    *,
    overlap: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="queue, cancel or allow, for this once; default: the schedule's own."),
    ] = None,
    as_json: AsJson = False,
    log_level: Logged = None,
) -> None:
    """Fire once now, also while paused or in a blackout. A worker takes the batch.

    While an earlier batch is open, its overlap rule holds; where that is `skip`, nothing begins and this ends with 2.
    """
    from orchestrator.cli import schedules as work

    carry_out(lambda: work.fire(name, overlap=overlap, as_json=as_json), as_json=as_json, log_level=log_level)


@schedules.command("check", epilog="Example:\n\norchestrator schedules check config/serve.yaml")
def check(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A service file (YAML).")],
    *,
    as_json: AsJson = False,
    log_level: Logged = None,
) -> None:
    """Check a service file and every plan it names, and show when its schedules are due. Starts nothing."""
    from orchestrator.cli import schedules as work

    carry_out(lambda: work.check(path, as_json=as_json), as_json=as_json, log_level=log_level)
