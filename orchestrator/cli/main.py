"""The `orchestrator` command: what can be typed. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from orchestrator import __version__
from orchestrator.cli.edge import carry_out

EXIT_CODES: Final = (
    "Exit codes: 0 gate passed, 1 gate failed, 2 bad usage, plan, settings or keys (nothing was paid), 3 inconclusive,"
    " 4 budget or quota stop, 5 gate passed but something is neither confirmed gone nor bounded, 130 cancelled and torn"
    " down."
)

app = typer.Typer(
    name="orchestrator",
    help="Runs Cekura manual-flow tests against Pipecat agents: starts sessions, submits rooms, follows runs, and tears"
    " everything down.",
    epilog=f"Example: orchestrator demo (no keys, no network)\n\n{EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class LogLevel(StrEnum):
    """How much of what goes on is logged to stderr."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document on stdout.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override one key of the plan (dotted; VALUE in YAML); repeatable."
    ),
]
Logged = Annotated[
    LogLevel | None,
    typer.Option(
        help="Lines of this level and above go to stderr.", envvar="ORCHESTRATOR_LOG_LEVEL", case_sensitive=False
    ),
]
PlanFile = Annotated[Path | None, typer.Argument(metavar="PLAN", help="The plan file (YAML).", show_default=False)]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"orchestrator {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


@app.command(
    epilog="Examples:\n\norchestrator run config/cloud-minimal.yaml\n\n"
    "orchestrator run plan.yaml --set limits.concurrency=4 --json > report.json\n\norchestrator run --resume latest"
)
def run(
    plan: PlanFile = None,
    *,
    as_json: AsJson = False,
    report_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write report.json and report.md there.")
    ] = None,
    overrides: Overrides = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="BATCH", help="Continue an open batch (an id, its beginning, or `latest`); needs no PLAN."
        ),
    ] = None,
    time_scale: Annotated[
        float,
        typer.Option(metavar="N", min=0.01, help="Divide all durations by N, for a sandbox with the same --speed."),
    ] = 1.0,
    log_level: Logged = None,
) -> None:
    """Run one batch to its end: start, submit, watch, tear down, report.

    Ctrl-C once ends the calls and tears everything down; twice leaves at once and says what `gc` will finish.
    """
    from orchestrator.cli.run import RunOrder
    from orchestrator.cli.run import run as work

    order = RunOrder(
        plan=plan,
        overrides=tuple(overrides or ()),
        resume=resume,
        time_scale=time_scale,
        as_json=as_json,
        report_dir=report_dir,
    )
    carry_out(lambda: work(order), as_json=as_json, log_level=log_level)


@app.command(
    epilog="Examples:\n\norchestrator plan config/cloud-full.yaml --json\n\n"
    "orchestrator plan --schema > plan.schema.json"
)
def plan(
    plan: PlanFile = None,
    *,
    as_json: AsJson = False,
    overrides: Overrides = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of plans; needs no PLAN.")] = False,
    log_level: Logged = None,
) -> None:
    """Show what would run, in order, with cost and time estimates; starts nothing."""
    from orchestrator.cli.plan import plan as work

    carry_out(
        lambda: work(plan, overrides=tuple(overrides or ()), as_json=as_json, schema=schema),
        as_json=as_json,
        log_level=log_level,
    )


@app.command(
    epilog="Examples:\n\norchestrator sandbox --speed 10\n\n"
    "orchestrator sandbox --fault submit.lost_answer=1 --fault bot.never_joins=2"
)
def sandbox(
    *,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0 takes any that is free.")] = 7900,
    speed: Annotated[float, typer.Option(metavar="X", min=0.01, help="Divides the sandbox's own durations.")] = 1.0,
    faults: Annotated[
        list[str] | None,
        typer.Option("--fault", metavar="NAME=N[@SKIP]", help="What goes wrong, and how often; repeatable."),
    ] = None,
    faults_listed: Annotated[bool, typer.Option("--list-faults", help="Print every fault and exit.")] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Decides delays and lengths of calls.")] = 0,
    calls_limit: Annotated[int, typer.Option(metavar="N", min=1, help="Calls Cekura runs at once.")] = 10,
    max_sessions: Annotated[int, typer.Option(metavar="N", min=1, help="Sessions of one agent at once.")] = 50,
    log_level: Logged = None,
) -> None:
    """Play the remote APIs on one port until Ctrl-C; prints the environment that points a client at them."""
    from orchestrator.cli.sandbox import SandboxOrder, print_faults, serve

    if faults_listed:
        print_faults()
        return
    order = SandboxOrder(
        port=port,
        speed=speed,
        faults=tuple(faults or ()),
        seed=seed,
        calls_limit=calls_limit,
        max_sessions=max_sessions,
    )
    carry_out(lambda: serve(order), log_level=log_level)


@app.command(epilog="Example:\n\norchestrator demo --speed 10")
def demo(
    *,
    speed: Annotated[float, typer.Option(metavar="X", min=0.5, max=50, help="Times faster than life.")] = 5.0,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the demo's state, to look at with `batches show`.")
    ] = False,
    log_level: Logged = None,
) -> None:
    """Play a whole batch against a sandbox: no keys, no network. Ends with 0 when it went as scripted."""
    from orchestrator.cli.demo import demo as work

    carry_out(lambda: work(speed=speed, keep=keep), log_level=log_level)


def main() -> None:
    """The entry point."""
    app()
