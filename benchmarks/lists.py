"""What each list costs with 100 batches in history and with 10,000: `python -m benchmarks.lists [BATCHES ...]`.

The histories are built side by side and each list is timed in both by turns, so that the ratio is one of the same
minute. What is timed is what the commands and the API ask the state; at the end, whole commands as well.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from benchmarks.batch import plan_text, state

SIZES: Final = (100, 10_000)
RUNS: Final = 3
AT_ONCE: Final = 500  # batches in one commit
OPEN: Final = 5  # of the newest batches; each has a session that is not torn down
BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
EVERY: Final = timedelta(minutes=7)
POOL: Final = "warm"
RARE: Final = "rare"  # the name of the oldest three batches
REPETITIONS: Final = 15
MOST: Final = 3.0  # what the longest history may cost, as a multiple of the shortest

Look = Callable[[Any], Awaitable[Any]]


async def build(urls: Mapping[int, str]) -> None:
    """A state with a history of each size."""
    from orchestrator.store.database import open_store

    for size, url in urls.items():
        store = open_store(url, driving=None)
        try:
            await fill(store, size)
        finally:
            store.close()


async def fill(store: Any, batches: int) -> None:
    """Put a history of so many batches into an empty state: judged runs, sessions torn down, a line in the audit."""
    from orchestrator.plans import plan_from_text

    loaded = plan_from_text(plan_text(runs=RUNS, sessions=2), name="nightly")
    for first in range(0, batches, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, batches))
        await store.write(partial(_add, loaded=loaded, numbers=numbers, batches=batches))


def _add(connection: Any, *, loaded: Any, numbers: range, batches: int) -> None:
    from sqlalchemy import insert

    from orchestrator.domain.batch import Origin
    from orchestrator.domain.verdict import Outcome
    from orchestrator.plans import new_batch
    from orchestrator.store import audit, tables
    from orchestrator.store import batches as batch_rows

    for number in numbers:
        at = BEGAN + number * EVERY
        origin, schedule = (Origin.SCHEDULE, "every-day") if number % 3 else (Origin.COMMAND, None)
        batch, planned = new_batch(loaded, now=at, origin=origin, schedule=schedule)
        is_open = number >= batches - OPEN
        batch = batch if number >= RUNS else replace(batch, name=RARE)
        judged = planned if is_open else [replace(run, outcome=Outcome.PASSED) for run in planned]
        batch_rows.record_batch(connection, batch, judged)
        if not is_open:
            batch_rows.record_closed(connection, batch.batch_id, at=at + EVERY, outcome=Outcome.PASSED)
        connection.execute(insert(tables.sessions), [_session(batch.batch_id, run, at, is_open) for run in planned])
        audit.append(connection, at=at, actor="command:bench", action="batch.create", target=batch.batch_id, detail={})


def _session(batch_id: str, run: Any, at: datetime, is_open: bool) -> dict[str, Any]:  # noqa: FBT001
    from orchestrator.domain.plan import AgentKind
    from orchestrator.domain.session import Session, SessionStatus
    from orchestrator.store.session_row import values_of

    name = f"{at:%Y%m%d-%H%M%S}-{run.index}"
    session = Session(
        nonce=name,
        batch_id=batch_id,
        run_id=run.run_id,
        attempt=1,
        agent_kind=AgentKind.PIPECAT_CLOUD,
        agent_address="support-bot",
        status=SessionStatus.ALIVE,
        intended_at=at,
        ends_by="the platform's session limit",
        ends_at=at + timedelta(hours=2),
        room_expires_at=at + timedelta(hours=1),
        pool=POOL if run.index == RUNS else None,
    )
    left = is_open and run.index == 1
    ends = {} if left else {"session_end": "confirmed", "room_end": "confirmed", "settled": True}
    return values_of(session) | {"session_id": f"s-{name}", "room_url": f"https://x.daily.co/{name}"} | ends


def looks(batches: int) -> Mapping[str, Look]:
    """Each list by its name, as it is asked of a history of so many batches."""
    from orchestrator.app import pages, reading
    from orchestrator.app.batches import open_batches, resolve_batch_id
    from orchestrator.app.collection import find_leftovers
    from orchestrator.domain.batch import BatchStatus, Origin
    from orchestrator.domain.page import moment_cursor

    middle = BEGAN + batches // 2 * EVERY
    beginning = f"{middle:%Y%m%d-%H%M}"
    page = {"limit": 20}
    of = partial(pages.batch_page, **page)
    behind = moment_cursor(pages.BATCHES, middle, "~")
    sessions = partial(pages.session_page, **page)
    return {
        "batches list": partial(reading.recent_batches, limit=20),
        "batches, a page in the middle": partial(of, cursor=behind),
        "batches that are open": partial(of, status=BatchStatus.OPEN),
        "batches that are closed": partial(of, status=BatchStatus.CLOSED),
        "batches of a rare name": partial(of, name=RARE),
        "batches of a schedule": partial(of, schedule="every-day"),
        "batches of an origin that none has": partial(of, origin=Origin.API),
        "batches of a day": partial(of, since=middle - timedelta(hours=12), until=middle + timedelta(hours=12)),
        "BATCH as `latest`": partial(resolve_batch_id, name="latest"),
        "BATCH by its beginning": partial(resolve_batch_id, name=beginning),
        "runs list latest": partial(reading.runs_of, batch="latest"),
        "runs, a page": lambda store: _runs_of_latest(store, **page),
        "runs show latest-3": partial(reading.find_run, name="latest-3"),
        "sessions list": partial(reading.recent_sessions, batch=None, unsettled=False, limit=None),
        "sessions list --unsettled": partial(reading.recent_sessions, batch=None, unsettled=True, limit=None),
        "sessions list --batch latest": partial(reading.recent_sessions, batch="latest", unsettled=False, limit=None),
        "sessions, a page in the middle": partial(sessions, cursor=moment_cursor(pages.SESSIONS, middle, "~")),
        "sessions of a pool": partial(sessions, pool=POOL),
        "SESSION by the beginning of its id": partial(reading.find_session, name=f"s-{beginning}00-2"),
        "audit list": partial(pages.audit_page, **page),
        "audit list --actor": partial(pages.audit_page, actor="command:bench", **page),
        "audit list --target that has none": partial(pages.audit_page, target="nobody", **page),
        "what is open (run, serve)": open_batches,
        "what is left (gc --dry-run)": find_leftovers,
    }


async def _runs_of_latest(store: Any, *, limit: int) -> Any:
    from orchestrator.app.batches import resolve_batch_id
    from orchestrator.app.pages import run_page

    return await run_page(store, await resolve_batch_id(store, "latest"), limit=limit)


async def timed(urls: Mapping[int, str]) -> list[dict[str, Any]]:
    """Each list with its milliseconds by size of the history, the median of REPETITIONS by turns."""
    from orchestrator.store.database import open_store

    with ExitStack() as closings:
        stores = {size: open_store(url, driving=None) for size, url in urls.items()}
        for store in stores.values():
            closings.callback(store.close)
        rows = []
        for name in looks(min(urls)):
            taken: dict[int, list[float]] = {size: [] for size in urls}
            for _ in range(REPETITIONS):
                for size, store in stores.items():
                    look, began = looks(size)[name], time.perf_counter()
                    await look(store)
                    taken[size].append(1000 * (time.perf_counter() - began))
            rows.append(_row(name, taken))
        return rows


def commands(urls: Mapping[int, str], repetitions: int = 3) -> list[dict[str, Any]]:
    """The same for whole commands, the start of the process included."""
    rows = []
    for words in (["batches", "list"], ["batches", "show", "latest"], ["sessions", "list", "--unsettled"]):
        taken: dict[int, list[float]] = {size: [] for size in urls}
        for _ in range(repetitions):
            for size, url in urls.items():
                environ = {**os.environ, "ORCHESTRATOR_DATABASE_URL": url}
                command, began = [sys.executable, "-m", "orchestrator.cli", *words, "--json"], time.perf_counter()
                subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
                taken[size].append(1000 * (time.perf_counter() - began))
        rows.append(_row(f"orchestrator {' '.join(words)}", taken))
    return rows


def _row(name: str, taken: Mapping[int, Sequence[float]]) -> dict[str, Any]:
    medians = {size: sorted(times)[len(times) // 2] for size, times in taken.items()}
    return {"name": name, "ms": medians, "ratio": medians[max(medians)] / medians[min(medians)]}


def describe(row: Mapping[str, Any]) -> str:
    """One row as a line."""
    times = "  ".join(f"{size:>6}: {milliseconds:8.2f} ms" for size, milliseconds in row["ms"].items())
    return f"{row['name']:<38} {times}   x {row['ratio']:.2f}"


def measure(sizes: Sequence[int] = SIZES) -> list[dict[str, Any]]:
    """Every list and command, in histories of these sizes."""
    with ExitStack() as states:
        urls = {size: states.enter_context(state()) for size in sizes}
        asyncio.run(build(urls))
        return [*asyncio.run(timed(urls)), *commands(urls)]


def main() -> None:
    """Print each ratio; 1 where one is above what is allowed."""
    rows = measure([int(size) for size in sys.argv[1:]] or SIZES)
    for row in rows:
        print(describe(row))
    worst = max(row["ratio"] for row in rows)
    print(f"the worst is {worst:.2f} times; {MOST:g} are allowed ({os.cpu_count()} cores)")
    sys.exit(worst > MOST)


if __name__ == "__main__":
    main()
