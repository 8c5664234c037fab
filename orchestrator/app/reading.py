"""Looks at the state beside whoever drives it: batches, runs and sessions, by whole names or their beginnings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Final

from orchestrator.app.batches import resolve_batch_id
from orchestrator.app.pages import batch_page, gather_pages, session_page
from orchestrator.clients.cekura import CekuraClient
from orchestrator.clock import SystemClock
from orchestrator.domain.batch import Batch, Totals
from orchestrator.domain.errors import Conflict, NotFound
from orchestrator.domain.run import Run
from orchestrator.domain.session import Session
from orchestrator.domain.worker import WorkerRecord, WorkerStatus
from orchestrator.settings import Settings
from orchestrator.store import batches as batch_rows
from orchestrator.store import runs as run_rows
from orchestrator.store import sessions as session_rows
from orchestrator.store import workers as worker_rows
from orchestrator.store.database import Store, open_store, place_of
from orchestrator.store.database import state_exists as database_exists
from orchestrator.store.lock import DrivingLock

RECENT_SESSIONS: Final = 50


@asynccontextmanager
async def open_reader(settings: Settings) -> AsyncIterator[Store]:
    """The state, without the driving lock; NotFound where there is none yet (looking must not create one)."""
    if not state_exists(settings):
        error = NotFound(f"there is no state at {place_of(settings.database_url)} yet")
        error.next_step = (
            "`orchestrator run PLAN` makes it; ORCHESTRATOR_DATABASE_URL names another place (state lives where the"
            " command was run)."
        )
        raise error
    async with open_state(settings) as store:
        yield store


@asynccontextmanager
async def open_state(settings: Settings) -> AsyncIterator[Store]:
    """The state, made where there is none, beside whoever drives it."""
    store = open_store(settings.database_url, driving=None)
    try:
        yield store
    finally:
        store.close()


async def recent_batches(store: Store, *, limit: int) -> list[tuple[Batch, Totals]]:
    """The newest batches, each with its runs by outcome."""
    return await gather_pages(lambda limit, cursor: batch_page(store, limit=limit, cursor=cursor), most=limit)


async def batch_with_totals(store: Store, batch_id: str) -> tuple[Batch, Totals]:
    """One batch by its whole id, with its runs by outcome."""
    batch = await store.read(partial(batch_rows.get_batch, batch_id=batch_id))
    return batch, (await store.read(partial(batch_rows.totals_of, batch_ids=[batch_id])))[batch_id]


async def run_with_sessions(store: Store, run_id: str) -> tuple[Run, list[Session]]:
    """One run by its whole id, with every session it had, oldest first."""
    run = await store.read(partial(run_rows.get_run, run_id=run_id))
    return run, await store.read(partial(session_rows.sessions_of_run, batch_id=run.batch_id, run_id=run_id))


async def latest_workers(store: Store, *, now: datetime) -> list[tuple[WorkerRecord, WorkerStatus]]:
    """The workers that began last, newest first, and how each stands by the clock that leases go by."""
    found = await store.read(worker_rows.list_workers)
    at = await store.read(partial(worker_rows.now_of, now=now))
    return [(worker, worker.status(at)) for worker in found]


async def runs_of(store: Store, batch: str) -> list[Run]:
    """The runs of one batch in order."""
    batch_id = await resolve_batch_id(store, batch)
    return await store.read(partial(run_rows.list_runs, batch_id=batch_id))


async def find_run(store: Store, name: str) -> Run:
    """A run by `BATCH-INDEX`, where BATCH may be `latest` or the beginning of an id: `latest-3`."""
    batch, _, index = name.rpartition("-")
    if not batch or not index.isdigit():
        raise _no_run(name)
    found = [run for run in await runs_of(store, batch) if run.index == int(index)]
    if not found:
        raise _no_run(name)
    return found[0]


async def sessions_of(store: Store, batch_id: str) -> list[Session]:
    """The sessions of one batch, in the order of their intent."""
    return await store.read(partial(session_rows.list_sessions, batch_id=batch_id))


async def recent_sessions(store: Store, batch: str | None, *, unsettled: bool, limit: int | None) -> list[Session]:
    """The newest sessions first; without a `limit` all of a batch, all unsettled ones, else the newest so many."""
    batch_id = await resolve_batch_id(store, batch) if batch is not None else None
    most = limit if limit is not None else None if batch_id is not None or unsettled else RECENT_SESSIONS
    read = partial(session_page, store, batch_id=batch_id, unsettled=unsettled)
    return await gather_pages(lambda limit, cursor: read(limit=limit, cursor=cursor), most=most)


async def find_session(store: Store, name: str) -> Session:
    """A session by its nonce or the remote's id, or by the beginning of exactly one of them."""
    return await store.read(partial(session_rows.find_session, name=name))


def state_exists(settings: Settings) -> bool:
    """Whether anything was ever kept here."""
    return database_exists(settings.database_url)


async def check_undriven(store: Store) -> None:
    """Conflict, naming the holder, where some process drives this state: it holds the lock, or a lease.

    Who was killed holds a lease for some seconds more.
    """
    if store.path is not None:
        DrivingLock.take(store.path, command="looking whether anybody drives").release()
        return
    living = await store.read(partial(worker_rows.get_living, now=SystemClock().now()))
    if living:
        names = ", ".join(f"process {one.pid} on {one.host}" for one in living)
        conflict = Conflict(f"{store.place} is being driven by {names}")
        conflict.next_step = "They tear down what is left. `list`, `show` and `cancel` work meanwhile."
        raise conflict


async def is_driven(store: Store) -> bool:
    """Whether some process drives this state at the moment."""
    try:
        await check_undriven(store)
    except Conflict:
        return True
    return False


@asynccontextmanager
async def result_links(settings: Settings) -> AsyncIterator[Callable[[int], str | None]]:
    """Where a person looks at a Cekura result; no links without Cekura's key."""
    if settings.cekura_api_key is None:
        yield lambda _result_id: None
        return
    cekura = CekuraClient.open(settings, clock=SystemClock())
    try:
        yield cekura.result_url
    finally:
        await cekura.aclose()


def unsettled_of(sessions: Sequence[Session]) -> list[Session]:
    """Those that exist, or may, and are neither confirmed gone nor bounded."""
    return [session for session in sessions if not session.torn_down]


def _no_run(name: str) -> NotFound:
    error = NotFound(f"no run {name} in this state")
    error.next_step = "A run is named BATCH-INDEX, such as latest-3; `orchestrator runs list BATCH` shows a batch's."
    return error
