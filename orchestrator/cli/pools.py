"""Pools for a person: what waits ready, what waiting costs, and the words that let one rest."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.text import Text

from orchestrator.app import pools as cases
from orchestrator.app.pools import PoolView, pool_answer
from orchestrator.app.reading import open_reader, state_exists
from orchestrator.app.statement import teardown_statement
from orchestrator.cli.console import duration, local_moment, stdout_console
from orchestrator.cli.edge import print_json
from orchestrator.cli.tables import counted, new_table, teardown_lines
from orchestrator.cli.tokens import command_actor
from orchestrator.clock import SystemClock
from orchestrator.domain.pool import PoolCost
from orchestrator.settings import load_settings

COLUMNS: Final = ("pool", "agent", "status", "ready", "coming", "with runs", "ending", "keeps", "at most", "trouble")
MINUTES: Final = 120.0  # of idle seconds: from here on minutes are easier to read


async def list_pools(*, as_json: bool) -> int:
    """Every pool with what it holds."""
    settings = load_settings()
    views: list[PoolView] = []
    if state_exists(settings):
        async with open_reader(settings) as store:
            views = await cases.list_pools(store, clock=SystemClock())
    if as_json:
        print_json({"pools": [pool_answer(view) for view in views]})
        return 0
    table = new_table(*COLUMNS)
    for view in views:
        counts = (view.ready, view.coming, view.with_runs, view.ending)
        table.add_row(
            view.pool.name,
            Text(view.spec.agent.label if view.spec else "-"),
            _status(view),
            *(str(len(sessions)) for sessions in counts),
            str(view.spec.min_ready) if view.spec else "-",
            str(view.spec.max_alive) if view.spec else "-",
            Text(view.trouble),
        )
    stdout_console().print(table)
    return 0


async def show_pool(name: str, *, as_json: bool) -> int:
    """One pool with what waits, what it cost, and what became of the sessions that served nobody."""
    async with open_reader(load_settings()) as store:
        view = await cases.show_pool(store, name, clock=SystemClock())
    if as_json:
        print_json(pool_answer(view))
    else:
        _print_view(stdout_console(), view)
    return 0


async def pause(name: str, *, as_json: bool) -> int:
    """Let it rest."""
    async with open_reader(load_settings()) as store:
        view = await cases.pause_pool(store, name, clock=SystemClock(), actor=command_actor())
    told = f"pool {name}: paused; the worker that keeps it lets its waiting sessions go"
    return _say(view, f"{told}; `orchestrator pools resume {name}` fills it again", as_json)


async def resume(name: str, *, as_json: bool) -> int:
    """Let it be filled again."""
    async with open_reader(load_settings()) as store:
        view = await cases.resume_pool(store, name, clock=SystemClock(), actor=command_actor())
    kept = "the worker that keeps it fills it again" if view.pool.owner else "it is filled as soon as a worker serves"
    return _say(view, f"pool {name}: resumed; {kept}", as_json)


def _say(view: PoolView, text: str, as_json: bool) -> int:
    if as_json:
        print_json(pool_answer(view))
    else:
        stdout_console().print(text, soft_wrap=True)
    return 0


def _status(view: PoolView) -> str:
    if view.pool.paused_at is not None:
        return "paused"
    if view.resting:
        return "closed"
    return "open" if view.pool.owner else "no worker"


def _print_view(console: Console, view: PoolView) -> None:
    spec = view.spec
    console.print(f"{view.pool.name}: {_status(view)}, made by {_maker(view)}", soft_wrap=True)
    if spec is not None:
        console.print(
            f"keeps {spec.min_ready} ready of {spec.agent.label}, at most {spec.max_alive} alive; each waits "
            f"{duration(spec.max_age)} at most",
            soft_wrap=True,
        )
    if view.trouble:
        console.print(f"trouble: {view.trouble}", style="yellow", soft_wrap=True)
    table = new_table("session", "status", "ready since", "seen by", "last seen", "fit until")
    for one in [*view.ready, *view.coming]:
        table.add_row(
            Text(one.session_id or one.nonce),
            "ready" if one.ready_at else one.status.value,
            local_moment(one.ready_at),
            one.evidence.value if one.evidence else "-",
            local_moment(one.checked_at),
            local_moment(one.fit_until),
        )
    console.print(table if view.ready or view.coming else "Nothing waits.")
    if view.cost is not None:
        console.print(_cost_text(view.cost), soft_wrap=True)
    if view.unused:
        console.print(f"\n{counted(len(view.unused), 'session')} served nobody:", soft_wrap=True)
        for line in teardown_lines(teardown_statement(view.unused)):
            console.print(line, soft_wrap=True)


def _cost_text(cost: PoolCost) -> str:
    return (
        f"Since {local_moment(cost.since)}: {counted(cost.started, 'session')} started, {cost.served} served a run, "
        f"{cost.retired} nobody; {_idle(cost.idle_seconds)} of waiting paid, {_idle(cost.idle_per_hour)} per hour"
    )


def _idle(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < MINUTES else f"{seconds / 60:.0f} min"


def _maker(view: PoolView) -> str:
    return "the service file" if view.pool.source == "config" else "the API"
