"""The `orchestrator` command: what can be typed. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from orchestrator import __version__
from orchestrator.cli.access import audit, tokens
from orchestrator.cli.edge import carry_out
from orchestrator.cli.options import AsJson, Batch, ChannelName, Flow, Logged, Overrides, PlanFile
from orchestrator.cli.records import batches, notices, pools, runs, sessions
from orchestrator.cli.schedule_group import schedules

EXIT_CODES: Final = (
    "Exit codes: 0 gate passed, 1 gate failed, 2 bad usage, plan, settings or keys (nothing was paid), 3 inconclusive,"
    " 4 budget or quota stop, 5 gate passed but something is neither confirmed gone nor bounded, 130 cancelled and torn"
    " down."
)

DEMO_SPEED: Final = 5.0  # ends within a minute, and can still be followed

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
    drain: Annotated[
        bool, typer.Option("--drain", help="The first Ctrl-C lets calls under way finish; the second ends them.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Begin without asking, however many runs (ORCHESTRATOR_CONFIRM_ABOVE).")
    ] = False,
    log_level: Logged = None,
) -> None:
    """Run one batch to its end: start, submit, watch, tear down, report.

    Ctrl-C or SIGTERM ends the calls and tears everything down within 6 seconds, or says what is left for `gc`; once
    more leaves at once.
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
        drain=drain,
        yes=yes,
    )
    carry_out(lambda: work(order), as_json=as_json, log_level=log_level)


@app.command(
    epilog="Examples:\n\norchestrator plan config/cloud-full.yaml --json\n\n"
    "orchestrator plan --schema > plan.schema.json\n\norchestrator plan plan.yaml --as v2 > request.json"
)
def plan(
    plan: PlanFile = None,
    *,
    as_json: AsJson = False,
    overrides: Overrides = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of plans; needs no PLAN.")] = False,
    flow: Annotated[
        Flow | None,
        typer.Option("--as", help="Print, as JSON, the requests that Cekura's automated flow would need."),
    ] = None,
    log_level: Logged = None,
) -> None:
    """Show what would run, in order, with cost and time estimates; starts nothing."""
    from orchestrator.cli.plan import plan as work

    carry_out(
        lambda: work(plan, overrides=tuple(overrides or ()), as_json=as_json, schema=schema, flow=flow),
        as_json=as_json,
        log_level=log_level,
    )


@app.command(
    "import",
    epilog="Examples:\n\norchestrator import request.json --to pipecat_v1 --output plan.yaml\n\n"
    "orchestrator import suite.json --agent 5 --agent-name support-bot\n\n"
    "orchestrator plan plan.yaml --as v2 | orchestrator import - --to livekit_v2",
)
def import_(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A JSON file, or - for stdin.", show_default=False)],
    *,
    to: Annotated[
        ChannelName | None, typer.Option(help="The plan's channel. Absent: a request's own; pipecat_v1 for a suite.")
    ] = None,
    agent: Annotated[int | None, typer.Option(metavar="ID", min=1, help="Cekura's number of the agent.")] = None,
    agent_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The agent's name at Pipecat Cloud or LiveKit.")
    ] = None,
    agent_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The address of a Pipecat runner, for --to pipecat_v1.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the plan goes instead of stdout.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Of a suite, take the scenarios that are at Cekura and list the others.")
    ] = False,
    as_json: AsJson = False,
    log_level: Logged = None,
) -> None:
    """Make a plan of a request to Cekura's automated flows, or of a tests-as-code suite; starts nothing.

    A suite's scenarios are looked up at Cekura by name, with CEKURA_API_KEY. What a plan cannot carry is said in notes:
    as comments above the plan, and on stderr.
    """
    from orchestrator.cli.importing import ImportOrder, import_plan
    from orchestrator.domain.channel import Channel

    order = ImportOrder(
        source=source,
        to=None if to is None else Channel(to.value),
        cekura_agent_id=agent,
        agent_name=agent_name,
        agent_url=agent_url,
        output=output,
        force=force,
        partial=partial,
        as_json=as_json,
    )
    carry_out(lambda: import_plan(order), as_json=as_json, log_level=log_level)


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
    webhook_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where Cekura's webhooks go; none are sent without it.")
    ] = None,
    webhook_secret: Annotated[
        str | None, typer.Option(metavar="TEXT", envvar="CEKURA_WEBHOOK_SECRET", help="The secret that they carry.")
    ] = None,
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
        webhook_url=webhook_url,
        webhook_secret=webhook_secret,
    )
    carry_out(lambda: serve(order), log_level=log_level)


@app.command(epilog="Example:\n\norchestrator demo --speed 10")
def demo(
    *,
    speed: Annotated[float, typer.Option(metavar="X", min=0.5, max=50, help="Times faster than life.")] = DEMO_SPEED,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the demo's state, to look at with `batches show`.")
    ] = False,
    log_level: Logged = None,
) -> None:
    """Play a whole batch against a sandbox: no keys, no network. Ends with 0 when it went as scripted."""
    from orchestrator.cli.demo import demo as work

    carry_out(lambda: work(speed=speed, keep=keep), log_level=log_level)


@app.command(
    epilog="Examples:\n\norchestrator serve\n\norchestrator serve --config config/serve.yaml --host 0.0.0.0 --port 8080"
)
def serve(
    *,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Schedules and pools (YAML).", show_default=False),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where the HTTP API listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0 takes any that is free.")] = 8080,
    drain: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="How long calls under way may take when it stops alone."),
    ] = 30.0,
    time_scale: Annotated[
        float,
        typer.Option(metavar="N", min=0.01, help="Divide all durations by N, for a sandbox with the same --speed."),
    ] = 1.0,
    log_level: Logged = None,
) -> None:
    """Work until stopped: batches by HTTP and by schedule, sessions kept warm in pools, webhooks.

    On PostgreSQL many may serve one state. The first signal drains, the second leaves at once; whoever serves next goes
    on with what is left.
    """
    from orchestrator.cli.serve import ServeOrder
    from orchestrator.cli.serve import serve as work

    order = ServeOrder(config=config, host=host, port=port, drain=drain, time_scale=time_scale)
    carry_out(lambda: work(order), log_level=log_level)


@app.command(epilog="Examples:\n\norchestrator health\n\norchestrator health --ready --url http://127.0.0.1:9000")
def health(
    *,
    url: Annotated[str, typer.Option(metavar="URL", help="Where the service answers.")] = "http://127.0.0.1:8080",
    ready: Annotated[bool, typer.Option("--ready", help="Also ask its parts whether they are ready.")] = False,
) -> None:
    """Ask a service whether it lives; for health checks. Ends with 0 when it is well, 1 otherwise."""
    from orchestrator.cli.health import health as work

    try:
        code = work(url, ready=ready)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--url") from None
    raise typer.Exit(code)


@app.command(epilog="Examples:\n\norchestrator doctor\n\norchestrator doctor config/cloud-full.yaml")
def doctor(plan: PlanFile = None, *, overrides: Overrides = None, log_level: Logged = None) -> None:
    """Check each key, its kind and reach, and each remote; says what is missing and what that costs. Starts nothing.

    Ends with 0 when a run could work, 2 otherwise.
    """
    from orchestrator.cli.doctor import doctor as work

    carry_out(lambda: work(plan, overrides=tuple(overrides or ())), log_level=log_level)


@app.command(epilog="Example:\n\norchestrator cancel latest")
def cancel(batch: Batch, *, log_level: Logged = None) -> None:
    """Cancel an open batch; whoever drives it ends its calls and tears down within moments."""
    from orchestrator.cli.gc import cancel as work

    carry_out(lambda: work(batch), log_level=log_level)


@app.command(epilog="Examples:\n\norchestrator gc --dry-run\n\norchestrator gc\n\norchestrator gc plan.yaml")
def gc(
    plan: PlanFile = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    deadline: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, help="Stop trying after this long; the next gc goes on.")
    ] = 600.0,
    log_level: Logged = None,
) -> None:
    """End what an earlier process left: cancel its batches, stop its sessions, delete its rooms.

    What no row holds, because the state file is lost, is ended where its bot bears our mark. All else is listed and
    never touched. PLAN names the one agent to look at; if it says `agent.exclusive`, all its sessions are ours.

    Ends with 0 when everything is confirmed gone or bounded, 5 when something is left, 2 while another process drives,
    3 when there is no state and a remote could not be asked.
    """
    from orchestrator.cli.gc import gc as work

    carry_out(lambda: work(plan, dry_run=dry_run, deadline=deadline), log_level=log_level)


@app.command(epilog="Example:\n\norchestrator probe https://acme.daily.co/room --deadline 20")
def probe(
    room_url: Annotated[str, typer.Argument(metavar="ROOM_URL", help="A room on Daily.")],
    *,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds a meeting token; else a Daily key mints one.")
    ] = None,
    deadline: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="The probe is killed after this.")] = 30.0,
    ask_ready: Annotated[
        bool, typer.Option("--ask-ready", help="Ask the bot whether it is ready; it may start to talk.")
    ] = False,
    as_json: AsJson = False,
    log_level: Logged = None,
) -> None:
    """Join a room with daily-python and say who is there. A probe is a participant: bots may greet it.

    Ends with 0 when the room was joined, 3 when not. It cannot join a sandbox's rooms.
    """
    from orchestrator.cli.probe import probe as work

    carry_out(
        lambda: work(room_url, token_file=token_file, deadline=deadline, ask_ready=ask_ready, as_json=as_json),
        as_json=as_json,
        log_level=log_level,
    )


for _records in (batches, runs, sessions, schedules, pools, notices, tokens, audit):
    app.add_typer(_records)


def main() -> None:
    """The entry point."""
    app()
