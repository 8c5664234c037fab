"""What `gc` found beside the rows: strays, which are provably ours, and the rest, which is only listed."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.app.eviction import planned_eviction
from orchestrator.app.surroundings import Foreign, Surroundings
from orchestrator.cli.console import duration
from orchestrator.cli.tables import new_table
from orchestrator.clock import SystemClock

MOST_FOREIGN: Final = 20


def print_surroundings(console: Console, found: Surroundings) -> None:
    """Both lists, and what could not be looked at; nothing where there is nothing to tell."""
    now = SystemClock().now()
    if found.strays:
        console.print("Provably ours, though no row holds it:")
        console.print(_strays(found, now))
    if found.foreign:
        console.print("Alive, but not provably ours, so never touched:")
        console.print(_foreign(found.foreign, now))
    for what in found.unasked:
        console.print(f"Not looked at: {what}", soft_wrap=True)


def _strays(found: Surroundings, now: datetime) -> Table:
    table = new_table("session", "room", "age", "proof", "to do")
    for stray, to_do in planned_eviction(found.strays):
        table.add_row(
            Text(stray.session.record.session_id if stray.session is not None else "not known"),
            Text(stray.room.url if stray.room is not None else "-"),
            _age(stray.since, now),
            stray.proof,
            to_do,
        )
    return table


def _foreign(foreign: tuple[Foreign, ...], now: datetime) -> Table:
    """The oldest first: what idles for long is what somebody may want to know of."""
    table = new_table("what", "id", "where", "age")
    ordered = sorted(foreign, key=lambda one: (one.since is None, one.since or now))
    for one in ordered[:MOST_FOREIGN]:
        table.add_row(one.what, Text(one.name), Text(one.place), _age(one.since, now))
    if len(ordered) > MOST_FOREIGN:
        table.caption = f"and {len(ordered) - MOST_FOREIGN} more"
        table.caption_justify = "left"
    return table


def _age(since: datetime | None, now: datetime) -> str:
    return duration(max(0.0, (now - since).total_seconds())) if since is not None else "-"
