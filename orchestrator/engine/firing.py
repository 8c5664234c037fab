"""A fire becomes a batch: within one transaction, under the key that no other batch can have.

What is called here runs in a unit of the store, beside the decision it carries out: both are committed, or neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from orchestrator.domain.batch import Origin
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.schedule import Decided, Fire, FireDecision, Schedule, fire_key
from orchestrator.plans import LoadedPlan, check_variables, new_batch, plan_from_document
from orchestrator.store import batches as batch_rows
from orchestrator.store import fires as fire_rows

SELECTION_SECONDS: Final = 30.0  # to ask Cekura in; half of what makes a fire late
Resolve = Callable[[LoadedPlan], Awaitable[LoadedPlan]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirePlan:
    """The plan of a schedule as it may be carried out now, or why it may not (`refusal`)."""

    loaded: LoadedPlan | None
    refusal: str = ""


def plan_to_fire(schedule: Schedule, environ: Mapping[str, str] | None) -> FirePlan:
    """Look at a schedule's plan once more: the variables it had when it was loaded may be gone (None: not asked)."""
    try:
        plan = plan_from_document(schedule.plan_document)
        if environ is not None:
            check_variables(plan, environ)
    except OrchestratorError as error:
        return FirePlan(loaded=None, refusal="; ".join(str(error).splitlines()))
    return FirePlan(loaded=LoadedPlan(plan=plan, document=schedule.plan_document, warnings=()))


async def selected(plan: FirePlan, resolve: Resolve) -> FirePlan:
    """The same with every scenario named, as Cekura has them now; a refusal where that cannot be said.

    It asks over the network, and so comes before the unit that carries the fire out. It only reads.
    """
    if plan.loaded is None or plan.loaded.plan.resolved:
        return plan
    try:
        async with asyncio.timeout(SELECTION_SECONDS):
            return FirePlan(loaded=await resolve(plan.loaded))
    except TimeoutError:
        refusal = f"Cekura did not say within {SELECTION_SECONDS:g} s what the plan selects"
    except OrchestratorError as error:
        refusal = "; ".join(str(error).splitlines())
    return FirePlan(loaded=None, refusal=refusal)


def carry_out(
    connection: Any,
    schedule: Schedule,
    decided: Decided,
    *,
    plan: FirePlan,
    now: datetime,
    speed: float,
    waited: Fire | None = None,
    manual: bool = False,
    client_key: str | None = None,
) -> Fire:
    """Commit a decision with the batch it makes, and the cancellations that make room for it.

    `waited` is the fire that stood in the queue; else a new one is recorded. `manual`: a person asked for it, with
    that `client_key` if any.
    """
    batch_id = None
    key = fire_key(schedule.name, decided.due_at)
    if decided.decision is FireDecision.FIRED and (other := batch_rows.find_by_client_key(connection, key)) is not None:
        reason = f"batch {other.batch_id} has the key of this fire"
        decided = replace(decided, decision=FireDecision.REFUSED, reason=reason)
    if decided.decision is FireDecision.FIRED and plan.loaded is not None:
        for earlier in decided.cancels:
            reason = f"schedule {schedule.name} fired again"
            batch_rows.record_cancel(connection, earlier, at=now, reason=reason)
        batch, runs = new_batch(
            plan.loaded, now=now, speed=speed, origin=Origin.SCHEDULE, client_key=key, schedule=schedule.name
        )
        batch_rows.record_batch(connection, batch, runs)
        batch_id = batch.batch_id
    if waited is None:
        return fire_rows.record_fire(
            connection,
            schedule.name,
            decided,
            at=now,
            batch_id=batch_id,
            manual=manual,
            client_key=client_key,
        )
    fire_rows.record_begun(connection, waited, decided, at=now, batch_id=batch_id)
    return replace(waited, decision=decided.decision, reason=decided.reason, decided_at=now, batch_id=batch_id)


def begin_waiting(
    connection: Any, schedule: Schedule, waited: Fire, *, plan: FirePlan, now: datetime, speed: float
) -> Fire:
    """Let a fire begin that waited for earlier batches; under the schedule's lock, when none of them is open."""
    decision, reason = FireDecision.FIRED, "it waited for the batch of an earlier fire"
    if plan.refusal:
        decision, reason = FireDecision.REFUSED, plan.refusal
    decided = Decided(due_at=waited.due_at, decision=decision, reason=reason)
    return carry_out(
        connection, schedule, decided, plan=plan, now=now, speed=speed, waited=waited, manual=waited.manual
    )
