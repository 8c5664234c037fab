"""From a checked plan to a new batch with all its runs, before anything is committed or started."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Final

from orchestrator.domain.batch import Batch, BatchStatus, Origin
from orchestrator.domain.errors import InvalidPlan, Problem
from orchestrator.domain.run import Run, RunStatus
from orchestrator.plans.estimation import PlannedRun, expand
from orchestrator.plans.loading import LoadedPlan

UNRESOLVED: Final = Problem(
    path="scenarios",
    message="are not all known: Cekura was not asked what is selected, or what test profiles hold",
    remedy="set CEKURA_API_KEY, and begin the batch anew",
)


def new_batch(
    loaded: LoadedPlan,
    *,
    now: datetime,
    speed: float = 1.0,
    origin: Origin = Origin.COMMAND,
    owner: str | None = None,
    client_key: str | None = None,
    schedule: str | None = None,
) -> tuple[Batch, tuple[Run, ...]]:
    """A batch named after `now` (UTC), and its runs in order. `owner` drives it; None: whichever worker is free.

    InvalidPlan where nobody has looked up what the plan selects: what a batch runs is known before it begins.
    """
    if not loaded.plan.resolved:
        raise InvalidPlan((UNRESOLVED,))
    batch = Batch(
        batch_id=f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        name=loaded.plan.name,
        status=BatchStatus.OPEN,
        created_at=now,
        document=loaded.document,
        digest=loaded.plan.digest,
        speed=speed,
        owner=owner,
        origin=origin,
        client_key=client_key,
        schedule=schedule,
    )
    return batch, tuple(_planned(batch.batch_id, one, now) for one in expand(loaded.plan))


def _planned(batch_id: str, planned: PlannedRun, now: datetime) -> Run:
    return Run(
        run_id=f"{batch_id}-{planned.index:03d}",
        batch_id=batch_id,
        index=planned.index,
        scenario_id=planned.scenario.scenario_id,
        scenario_position=planned.scenario_position,
        personality_id=planned.personality_id,
        test_profile_id=planned.test_profile_id,
        timeline={RunStatus.PLANNED.value: now},
    )
