"""Units that begin and cancel batches at somebody's word: the deed and who wanted it are committed together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from orchestrator.domain.audit import Detail
from orchestrator.domain.batch import Batch
from orchestrator.domain.errors import Conflict
from orchestrator.domain.run import Run
from orchestrator.store import audit, batches

CANCEL: Final = "batch.cancel"


def take_in_batch(connection: Connection, *, batch: Batch, planned: Sequence[Run], actor: str) -> tuple[Batch, bool]:
    """Insert a batch with its runs and the audit's line, and True; or the one its client's key stands for, and False.

    Conflict where another batch has its id, or another worker inserts the same key at this moment: whoever tries again,
    with a new id, inserts it or finds the other.
    """
    same = batches.find_batch(connection, batch.batch_id)
    if same is not None:
        if (same.created_at, same.digest, same.client_key) != (batch.created_at, batch.digest, batch.client_key):
            raise Conflict(f"there is another batch {batch.batch_id} already")
        return same, True  # committed by an earlier run of this unit
    earlier = None if batch.client_key is None else batches.find_by_client_key(connection, batch.client_key)
    if earlier is not None:
        return earlier, False
    batches.record_batch(connection, batch, planned)
    detail: Detail = {"name": batch.name, "runs": len(planned), "digest": batch.digest, "key": batch.client_key}
    audit.append(
        connection, at=batch.created_at, actor=actor, action="batch.create", target=batch.batch_id, detail=detail
    )
    return batch, True


def take_in_cancel(
    connection: Connection, *, batch_id: str, at: datetime, reason: str, drains: bool, actor: str
) -> Batch:
    """Commit the wish to cancel with the audit's line; the batch as it is then. Conflict when it is closed already."""
    batches.get_batch(connection, batch_id)
    if not batches.record_cancel(connection, batch_id, at=at, reason=reason, drains=drains):
        error = Conflict(f"batch {batch_id} is closed already; there is nothing to cancel")
        error.next_step = "Its report says how it ended."
        raise error
    detail: Detail = {"reason": reason, "drains": drains}
    audit.append_once(connection, at=at, actor=actor, action=CANCEL, target=batch_id, detail=detail)
    return batches.get_batch(connection, batch_id)
