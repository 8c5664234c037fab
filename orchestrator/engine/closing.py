"""The end of a batch, and word of it: one unit, so that neither is ever there without the other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import uuid4

from orchestrator.domain.batch import Batch
from orchestrator.domain.notice import BatchEnd, Notice, end_of, occasions, wanted
from orchestrator.domain.plan import Plan
from orchestrator.domain.verdict import Outcome
from orchestrator.store import batches as batch_rows
from orchestrator.store import notices as notice_rows


def close_batch(connection: Any, *, batch_id: str, plan: Plan, at: datetime, outcome: Outcome) -> None:
    """The unit that closes a batch and commits its notices; nothing where it is closed already."""
    if not batch_rows.record_closed(connection, batch_id, at=at, outcome=outcome) or not plan.notifications:
        return
    batch = batch_rows.get_batch(connection, batch_id)
    before = batch_rows.last_closed(connection, name=batch.name, but=batch_id)
    notice_rows.record_notices(connection, list(_notices(batch, plan, before, at)))


def _notices(batch: Batch, plan: Plan, before: Batch | None, at: datetime) -> Iterator[Notice]:
    end, earlier = _end(batch), None if before is None else _end(before)
    found = occasions(end, earlier)
    for position, spec in enumerate(plan.notifications):
        if why := wanted(spec, found):
            yield Notice(
                notice_id=f"msg_{uuid4().hex}",
                batch_id=batch.batch_id,
                position=position,
                kind=spec.kind,
                why=why,
                end=end,
                created_at=at,
                before=earlier,
                before_batch_id=None if before is None else before.batch_id,
                next_try_at=at,
            )


def _end(batch: Batch) -> BatchEnd:
    return end_of(batch.outcome or Outcome.INCONCLUSIVE, cancelled=batch.cancel_asked_at is not None)
