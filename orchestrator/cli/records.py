"""`batches`, `runs`, `sessions`, `pools`, `notices`: what can be typed to look at the state, and to let a pool rest."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from orchestrator.cli.edge import carry_out
from orchestrator.cli.options import AsJson, Batch, Logged


def new_group(name: str, help_text: str, example: str) -> typer.Typer:
    """A group of commands on one kind of thing."""
    settings: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
    return typer.Typer(
        name=name,
        help=help_text,
        epilog=f"Example:\n\n{example}",
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings=settings,
    )


batches = new_group("batches", "List batches, or show one with its report.", "orchestrator batches show latest")
runs = new_group("runs", "List a batch's runs, or show one.", "orchestrator runs show latest-3")
sessions = new_group("sessions", "List sessions, or show one.", "orchestrator sessions list --batch latest")
pools = new_group("pools", "List pools, show one with its cost, pause or resume it.", "orchestrator pools show support")
notices = new_group(
    "notices", "List what was told outside of batches that closed.", "orchestrator notices list --unsent"
)

Pool = Annotated[str, typer.Argument(metavar="POOL", help="Its name.")]


@batches.command("list", epilog="Example:\n\norchestrator batches list --limit 5 --json")
def list_batches(
    *,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The newest so many.")] = 20,
    as_json: AsJson = False,
    log_level: Logged = None,
) -> None:
    """List the newest batches."""
    from orchestrator.cli import lists

    carry_out(lambda: lists.list_batches(limit=limit, as_json=as_json), as_json=as_json, log_level=log_level)


@batches.command("show", epilog="Example:\n\norchestrator batches show latest")
def show_batch(batch: Batch, *, as_json: AsJson = False, log_level: Logged = None) -> None:
    """Show one batch: outcomes, phases, and how everything was torn down, as `run` ends with."""
    from orchestrator.cli import lists

    carry_out(lambda: lists.show_batch(batch, as_json=as_json), as_json=as_json, log_level=log_level)


@runs.command("list", epilog="Example:\n\norchestrator runs list latest")
def list_runs(batch: Batch, *, as_json: AsJson = False, log_level: Logged = None) -> None:
    """List the runs of a batch."""
    from orchestrator.cli import lists

    carry_out(lambda: lists.list_runs(batch, as_json=as_json), as_json=as_json, log_level=log_level)


@runs.command("show", epilog="Example:\n\norchestrator runs show latest-3")
def show_run(
    run: Annotated[str, typer.Argument(metavar="RUN", help="BATCH-INDEX, such as latest-3.")],
    *,
    as_json: AsJson = False,
    log_level: Logged = None,
) -> None:
    """Show one run with its timeline and every session it had."""
    from orchestrator.cli import lists

    carry_out(lambda: lists.show_run(run, as_json=as_json), as_json=as_json, log_level=log_level)


@sessions.command("list", epilog="Example:\n\norchestrator sessions list --unsettled")
def list_sessions(
    *,
    batch: Annotated[str | None, typer.Option(metavar="BATCH", help="Only this batch's.")] = None,
    unsettled: Annotated[bool, typer.Option("--unsettled", help="Only those with something left to end.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="The newest so many; without it 50, or all of a --batch, or all --unsettled.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
    log_level: Logged = None,
) -> None:
    """List the newest sessions with how their ends stand."""
    from orchestrator.cli import lists

    carry_out(
        lambda: lists.list_sessions(batch=batch, unsettled=unsettled, limit=limit, as_json=as_json),
        as_json=as_json,
        log_level=log_level,
    )


@sessions.command("show", epilog="Example:\n\norchestrator sessions show 0b9f0e7c")
def show_session(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="Its id or nonce, or the beginning of one.")],
    *,
    as_json: AsJson = False,
    log_level: Logged = None,
) -> None:
    """Show one session and its room; its meeting token is never shown."""
    from orchestrator.cli import lists

    carry_out(lambda: lists.show_session(session, as_json=as_json), as_json=as_json, log_level=log_level)


@pools.command("list", epilog="Example:\n\norchestrator pools list --json")
def list_pools(*, as_json: AsJson = False, log_level: Logged = None) -> None:
    """List pools with what each holds."""
    from orchestrator.cli import pools as work

    carry_out(lambda: work.list_pools(as_json=as_json), as_json=as_json, log_level=log_level)


@pools.command("show", epilog="Example:\n\norchestrator pools show support")
def show_pool(pool: Pool, *, as_json: AsJson = False, log_level: Logged = None) -> None:
    """Show one pool: what waits, what waiting cost in the last day, how sessions that served nobody ended."""
    from orchestrator.cli import pools as work

    carry_out(lambda: work.show_pool(pool, as_json=as_json), as_json=as_json, log_level=log_level)


@pools.command("pause", epilog="Example:\n\norchestrator pools pause support")
def pause_pool(pool: Pool, *, as_json: AsJson = False, log_level: Logged = None) -> None:
    """Let a pool rest: its waiting sessions are let go, and runs start their own."""
    from orchestrator.cli import pools as work

    carry_out(lambda: work.pause(pool, as_json=as_json), as_json=as_json, log_level=log_level)


@pools.command("resume", epilog="Example:\n\norchestrator pools resume support")
def resume_pool(pool: Pool, *, as_json: AsJson = False, log_level: Logged = None) -> None:
    """Fill a paused pool again."""
    from orchestrator.cli import pools as work

    carry_out(lambda: work.resume(pool, as_json=as_json), as_json=as_json, log_level=log_level)


@notices.command("list", epilog="Example:\n\norchestrator notices list --unsent")
def list_notices(
    *,
    unsent: Annotated[bool, typer.Option("--unsent", help="Only those that wait, or were given up.")] = False,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The newest so many.")] = 20,
    as_json: AsJson = False,
    log_level: Logged = None,
) -> None:
    """List the newest notices: of which batch, why, and whether they were sent."""
    from orchestrator.cli import notices as work

    carry_out(
        lambda: work.list_notices(unsent=unsent, limit=limit, as_json=as_json), as_json=as_json, log_level=log_level
    )
