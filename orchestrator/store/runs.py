"""Statements on runs; each write is a compare-and-swap on the status the caller believed in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from orchestrator.domain.errors import NotFound
from orchestrator.domain.run import Run, RunStatus
from orchestrator.domain.verdict import Outcome
from orchestrator.store.locks import may_be_rerun
from orchestrator.store.tables import runs

# Put together once: to do so for each run costs three times what the statement itself does.
_MOVING: Final = (
    "status",
    "outcome",
    "reason",
    "attempt",
    "retries_used",
    "nonce",
    "cekura_run_id",
    "cekura_result_id",
    "timeline",
    "submission_id",
)
# Each change of a run takes the next number of its batch: whoever knows one can ask for all that came after it.
_others = runs.alias("others")
_NEXT_REVISION: Final = (
    select(func.coalesce(func.max(_others.c.revision), 0) + 1)
    .where(_others.c.batch_id == bindparam("of_batch"))
    .scalar_subquery()
)
_RUN: Final = (
    update(runs)
    .where(
        runs.c.run_id == bindparam("of_run"),
        runs.c.status == bindparam("believed_status"),
        runs.c.attempt == bindparam("believed_attempt"),
    )
    .values({name: bindparam(name) for name in _MOVING} | {"revision": _NEXT_REVISION})
)


def record_planned(connection: Connection, planned: Sequence[Run]) -> None:
    """Insert runs."""
    if planned:
        connection.execute(insert(runs), [_values(run) for run in planned])


def record_run(connection: Connection, run: Run, *, believed: Run) -> bool:
    """Write `run` if the row is still as `believed` (status and attempt); False when somebody was faster."""
    believes = {"believed_status": believed.status.value, "believed_attempt": believed.attempt}
    swapped = connection.execute(_RUN, {"of_run": run.run_id, "of_batch": run.batch_id, **believes, **_moving(run)})
    if swapped.rowcount == 1 or not may_be_rerun(connection):
        return swapped.rowcount == 1
    return get_run(connection, run.run_id) == run  # a commit of this unit, whose answer was lost


def list_runs(connection: Connection, batch_id: str) -> list[Run]:
    """All runs of a batch in order."""
    query = select(runs).where(runs.c.batch_id == batch_id).order_by(runs.c.index)
    return [_run(row) for row in connection.execute(query)]


def page_runs(connection: Connection, batch_id: str, *, limit: int, after: int | None = None) -> list[Run]:
    """The runs of a batch in order, from behind the one of index `after` on."""
    query = select(runs).where(runs.c.batch_id == batch_id).order_by(runs.c.index).limit(limit)
    if after is not None:
        query = query.where(runs.c.index > after)
    return [_run(row) for row in connection.execute(query)]


def changed_runs(connection: Connection, batch_id: str, *, after: int) -> list[tuple[int, Run]]:
    """The runs of a batch that changed after revision `after`, each once and as it is now, with its revision.

    The oldest change comes first. A run that never changed has revision 0, so -1 asks for all of them.
    """
    query = select(runs).where(runs.c.batch_id == batch_id, runs.c.revision > after)
    return [(row.revision, _run(row)) for row in connection.execute(query.order_by(runs.c.revision, runs.c.index))]


def get_run(connection: Connection, run_id: str) -> Run:
    """One run; NotFound names it."""
    row = connection.execute(select(runs).where(runs.c.run_id == run_id)).one_or_none()
    if row is None:
        error = NotFound(f"no run {run_id} in this state")
        error.next_step = "`orchestrator runs list BATCH` shows a batch's runs."
        raise error
    return _run(row)


def _values(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "batch_id": run.batch_id,
        "index": run.index,
        "scenario_id": run.scenario_id,
        "scenario_position": run.scenario_position,
        "personality_id": run.personality_id,
        "test_profile_id": run.test_profile_id,
        **_moving(run),
    }


def _moving(run: Run) -> dict[str, Any]:
    """What a step may change."""
    return {
        "status": run.status.value,
        "outcome": run.outcome.value if run.outcome else None,
        "reason": run.reason,
        "attempt": run.attempt,
        "retries_used": run.retries_used,
        "nonce": run.nonce,
        "cekura_run_id": run.cekura_run_id,
        "cekura_result_id": run.cekura_result_id,
        "timeline": {status: at.isoformat() for status, at in run.timeline.items()},
        "submission_id": run.submission_id,
    }


def _run(row: Row[Any]) -> Run:
    return Run(
        run_id=row.run_id,
        batch_id=row.batch_id,
        index=row._mapping["index"],  # noqa: SLF001  `row.index` is a tuple's method; this is the documented way
        scenario_id=row.scenario_id,
        scenario_position=row.scenario_position,
        status=RunStatus(row.status),
        outcome=Outcome(row.outcome) if row.outcome else None,
        reason=row.reason,
        attempt=row.attempt,
        retries_used=row.retries_used,
        nonce=row.nonce,
        cekura_run_id=row.cekura_run_id,
        cekura_result_id=row.cekura_result_id,
        timeline={status: datetime.fromisoformat(at) for status, at in row.timeline.items()},
        submission_id=row.submission_id,
        personality_id=row.personality_id,
        test_profile_id=row.test_profile_id,
    )
