"""The use cases on batches: create one, run it to its end, cancel, look at it, and clean up after a dead process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

from orchestrator.app.graph import Worker
from orchestrator.clock import Clock
from orchestrator.domain.batch import Batch, ExitCode, Origin, Totals, count, exit_code
from orchestrator.domain.errors import Conflict, NotFound
from orchestrator.domain.plan import Plan
from orchestrator.domain.run import Run
from orchestrator.domain.session import Session
from orchestrator.domain.submission import Submission
from orchestrator.engine.dispatcher import LEFT_BEHIND
from orchestrator.plans import LoadedPlan, new_batch, plan_from_document
from orchestrator.store import batches as batch_rows
from orchestrator.store import runs as run_rows
from orchestrator.store import sessions as session_rows
from orchestrator.store import submissions as submission_rows
from orchestrator.store import warm_sessions as warm_rows
from orchestrator.store.database import Store

LATEST: Final = "latest"
COLLECTED: Final = "torn down by gc"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchView:
    """Everything the rows say of one batch."""

    batch: Batch
    plan: Plan
    runs: tuple[Run, ...]
    sessions: tuple[Session, ...]
    submissions: tuple[Submission, ...] = ()

    @property
    def totals(self) -> Totals:
        """Runs by outcome."""
        return count(self.runs)

    @property
    def exit_code(self) -> ExitCode:
        """What `run` returns for it."""
        return exit_code(self.batch, gate=self.plan.gate, totals=self.totals, sessions=self.sessions)


async def create_batch(worker: Worker, loaded: LoadedPlan, *, speed: float = 1.0) -> Batch:
    """Commit a batch and all its runs; nothing is started yet."""
    owner = worker.membership.worker_id
    batch, planned = new_batch(loaded, now=worker.clock.now(), speed=speed, owner=owner)
    await worker.store.write(partial(batch_rows.record_batch, batch=batch, planned=planned))
    return batch


async def run_batch(worker: Worker, batch_id: str) -> None:
    """Drive a batch to its end, and every other batch that nobody drives (left over, and cancelled)."""
    others = [other.batch_id for other in await leftovers(worker) if other.batch_id != batch_id]
    beside = [asyncio.create_task(worker.dispatcher.run(one), name=f"beside {one}") for one in others]
    if worker.store.shared:
        # A command that was killed a moment ago may still hold its lease: what it left is collected when that is over.
        beside.append(asyncio.create_task(worker.dispatcher.serve(origin=Origin.COMMAND), name="collect"))
    try:
        await worker.dispatcher.run(batch_id)
        await worker.dispatcher.idle()
    finally:
        for task in beside:
            task.cancel()


async def open_batches(store: Store) -> list[Batch]:
    """The batches that are not closed, newest first."""
    return await store.read(batch_rows.open_batches)


async def leftovers(worker: Worker) -> list[Batch]:
    """The open batches that nobody drives, and that no worker is to be waited for.

    What was asked for by HTTP or by a schedule and was not begun yet waits on for one that serves. Where the state is
    shared there may be such a worker already, so that only what commands left is ours to collect.
    """
    mine = {None, worker.membership.worker_id}
    found = [one for one in await open_batches(worker.store) if one.owner in mine]
    return [one for one in found if one.origin is Origin.COMMAND or await _left_begun(worker.store, one)]


async def _left_begun(store: Store, batch: Batch) -> bool:
    if store.shared:
        return False
    begun = await store.read(partial(session_rows.page_sessions, batch_id=batch.batch_id, limit=1))
    return bool(begun or await store.read(partial(submission_rows.list_submissions, batch_id=batch.batch_id)))


async def cancel_leftovers(worker: Worker, *, but: str | None = None, reason: str = LEFT_BEHIND) -> list[BatchView]:
    """Ask to cancel every batch that was left open (except `but`), and say how each was found. Call before driving."""
    found = [await view_batch(worker.store, batch.batch_id) for batch in await leftovers(worker)]
    left = [view for view in found if view.batch.batch_id != but]
    if not worker.store.shared:
        await retire_warm(worker, reason=reason)  # whoever drives a file alone knows that nobody keeps its pools
    for view in left:
        await cancel_batch(worker.store, view.batch.batch_id, clock=worker.clock, reason=reason)
    return left


async def retire_warm(worker: Worker, *, reason: str) -> int:
    """Let every warm session go that waits in a pool, where no worker is left to keep any; returns how many."""
    return await worker.store.write(partial(warm_rows.retire_all, at=worker.clock.now(), reason=reason))


async def cancel_batch(store: Store, batch_id: str, *, clock: Clock, reason: str, drains: bool = False) -> None:
    """Commit the wish to cancel; the driver sees it within a second. Conflict when the batch is closed already.

    `drains`: calls under way may finish.
    """
    await store.read(partial(batch_rows.get_batch, batch_id=batch_id))
    wish = partial(batch_rows.record_cancel, batch_id=batch_id, at=clock.now(), reason=reason, drains=drains)
    if not await store.write(wish):
        raise Conflict(f"batch {batch_id} is closed already; there is nothing to cancel")


async def resolve_batch_id(store: Store, name: str) -> str:
    """`latest`, a whole id, or the beginning of exactly one; NotFound otherwise."""
    if name == LATEST:
        newest = await store.read(batch_rows.newest_batch_id)
        matches = [newest] if newest is not None else []
    else:
        matches = await store.read(partial(batch_rows.find_batch_ids, name=name))
    if len(matches) == 1:
        return matches[0]
    error = NotFound(f"{'no batch' if not matches else 'more than one batch'} {name} in this state")
    error.next_step = "`orchestrator batches list` shows the ones it knows."
    raise error


async def view_batch(store: Store, batch_id: str) -> BatchView:
    """Read one batch with its runs, sessions and submissions."""
    batch = await store.read(partial(batch_rows.get_batch, batch_id=batch_id))
    plan = plan_from_document(batch.document)
    runs = await store.read(partial(run_rows.list_runs, batch_id=batch_id))
    sessions = await store.read(partial(session_rows.list_sessions, batch_id=batch_id))
    submissions = await store.read(partial(submission_rows.list_submissions, batch_id=batch_id))
    return BatchView(batch=batch, plan=plan, runs=tuple(runs), sessions=tuple(sessions), submissions=tuple(submissions))


def live_view(worker: Worker, batch_id: str) -> BatchView | None:
    """A batch as this process drives it, without touching the disk; None before and after."""
    roster = worker.driver.rosters.get(batch_id)
    if roster is None:
        return None
    return BatchView(
        batch=roster.batch,
        plan=roster.plan,
        runs=tuple(sorted(roster.runs.values(), key=lambda run: run.index)),
        sessions=tuple((roster.sessions | roster.unrecorded).values()),
    )
