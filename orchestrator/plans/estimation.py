"""What a plan will run, in which order, and what that may take in time and money. Pure: nothing is asked of anybody."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from orchestrator.domain.plan import Plan, ScenarioSpec

CREDITS_PER_MINUTE: Final = 5  # Cekura's price of a voice call, WebRTC included (its FAQ); metrics cost extra
TYPICAL_CALL_SECONDS: Final = 120.0
# A small bot; Pipecat Cloud's docs say 10 s at best, 30-60 s and more with large images.
TYPICAL_START_SECONDS: Final = 10.0

_MINUTE: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One run to come: `index` counts from 1 in the order of starting, `scenario_position` from 0 in the plan."""

    index: int
    scenario_position: int
    scenario: ScenarioSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Figures for a person to decide by.

    `call_seconds`: what one call is taken to last. `worst_case_call_minutes`: every call at its timeout, and every run
    retried as often as allowed. `credits_low`, `credits_high`: Cekura credits for typical and for worst-case calls,
    without metrics. `session_minutes`: typical billed session time. `seconds`: the best the limits allow, from the
    first start to the end of the last call. `order`: (index, scenario id) as runs will be started.
    """

    runs: int
    call_seconds: float
    worst_case_call_minutes: float
    credits_low: float
    credits_high: float
    session_minutes: float
    seconds: float
    order: tuple[tuple[int, int], ...]


def expand(plan: Plan) -> tuple[PlannedRun, ...]:
    """Every run of the plan, one scenario after the other in turn.

    A submission never holds the same scenario twice; taking turns lets sessions ready together go together.
    """
    queues: dict[int, deque[int]] = {}
    for position, scenario in enumerate(plan.scenarios):
        queues.setdefault(scenario.scenario_id, deque()).extend([position] * scenario.repeat)
    order: list[int] = []
    while queues:
        order += [queue.popleft() for queue in queues.values()]
        queues = {scenario_id: queue for scenario_id, queue in queues.items() if queue}
    return tuple(
        PlannedRun(index=index, scenario_position=position, scenario=plan.scenarios[position])
        for index, position in enumerate(order, start=1)
    )


def estimate(plan: Plan, *, call_seconds: float = TYPICAL_CALL_SECONDS) -> Estimate:
    """Time and money for one batch, with calls of `call_seconds` (or of the plan's timeout, if that is shorter)."""
    runs = plan.run_count
    call = min(call_seconds, plan.timeouts.run)
    slots = min(plan.limits.calls, plan.limits.concurrency)
    worst = runs * (1 + plan.infrastructure_retries) * plan.timeouts.run / _MINUTE
    session = TYPICAL_START_SECONDS + plan.timing.gather + call + plan.timing.teardown_grace
    by_slots = math.ceil(runs / slots) * call
    by_starts = (runs - 1) / plan.limits.starts_per_second + call
    return Estimate(
        runs=runs,
        call_seconds=call,
        worst_case_call_minutes=worst,
        credits_low=runs * call / _MINUTE * CREDITS_PER_MINUTE,
        credits_high=worst * CREDITS_PER_MINUTE,
        session_minutes=runs * session / _MINUTE,
        seconds=max(by_slots, by_starts),
        order=tuple((run.index, run.scenario.scenario_id) for run in expand(plan)),
    )
