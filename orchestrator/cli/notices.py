"""What `run` and `gc` do about notices before they end, and `orchestrator notices list`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final

from rich.text import Text

from orchestrator.app.graph import Worker
from orchestrator.app.notices import (
    COMMAND_SECONDS,
    HURRIED_SECONDS,
    build_notifier,
    notice_row_document,
    unsent_text,
)
from orchestrator.app.reading import open_reader, result_links, state_exists
from orchestrator.cli.console import local_moment, stderr_console, stdout_console
from orchestrator.cli.edge import print_json
from orchestrator.cli.interruption import Interruption
from orchestrator.cli.progress import PlainLines, Teller
from orchestrator.cli.tables import new_table
from orchestrator.clock import SystemClock
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.notice import Notice
from orchestrator.engine.notifier import Notifier
from orchestrator.settings import Settings, load_settings
from orchestrator.store import notices as notice_rows
from orchestrator.store.database import open_store

MOST_LINES: Final = 10


async def tell_outside(
    worker: Worker, environ: Mapping[str, str], teller: Teller, interruption: Interruption, batch_id: str
) -> None:
    """Send what waits, for some seconds; what is left is named, and a signal leaves it for later."""
    notifier = build_notifier(
        worker.store, clock=worker.clock, environ=environ, result_url=worker.remotes.cekura.result_url
    )
    seconds = HURRIED_SECONDS if interruption.asked else COMMAND_SECONDS
    # Where others work on the same state, theirs are theirs to tell of.
    settling = asyncio.create_task(
        notifier.settle(seconds=seconds, batch_id=batch_id if worker.store.shared else None), name="send notices"
    )

    async def leave() -> None:
        settling.cancel()

    async with interruption.answering(leave):
        await asyncio.wait([settling])
    if settling.cancelled():
        teller.note("notices that were not sent yet are left to the next `run`, `serve` or `gc` on this state")
    elif (error := settling.exception()) is not None:
        teller.note(f"notices could not be sent: {error}")
    else:
        for line in _left(notifier, settling.result()):
            teller.note(line)


async def send_left(settings: Settings, environ: Mapping[str, str]) -> None:
    """Send what an earlier process left, where nobody drives the state; what could not be sent is named on stderr."""
    if not state_exists(settings):
        return
    notes = PlainLines(stderr_console(), SystemClock())
    try:
        store = open_store(settings.database_url, driving="orchestrator gc")
        try:
            async with result_links(settings) as links:
                notifier = build_notifier(store, clock=SystemClock(), environ=environ, result_url=links)
                for line in _left(notifier, await notifier.settle(seconds=COMMAND_SECONDS)):
                    notes.note(line)
        finally:
            store.close()
    except OrchestratorError as error:
        notes.note(f"notices could not be sent: {error}")


def _left(notifier: Notifier, waiting: list[Notice]) -> list[str]:
    lines = [unsent_text(notice) for notice in (*notifier.given_up, *waiting)]
    more = len(lines) - MOST_LINES
    return lines if more <= 0 else [*lines[:MOST_LINES], f"and {more} more: `orchestrator notices list --unsent`"]


async def list_notices(*, unsent: bool, limit: int, as_json: bool) -> int:
    """The newest notices."""
    settings = load_settings()
    found: list[Notice] = []
    if state_exists(settings):
        async with open_reader(settings) as store:
            found = await store.read(partial(notice_rows.page_notices, limit=limit, unsent=unsent))
    if as_json:
        print_json({"notices": [notice_row_document(notice) for notice in found]})
        return 0
    table = new_table("notice", "kind", "batch", "came to", "why", "status", "tries", "closed", "last error")
    for notice in found:
        table.add_row(
            notice.notice_id,
            notice.kind.value,
            notice.batch_id,
            notice.end.value,
            ", ".join(one.value for one in notice.why),
            notice.status.value,
            str(notice.tries),
            local_moment(notice.created_at),
            Text(notice.last_error),
        )
    stdout_console().print(table)
    return 0
