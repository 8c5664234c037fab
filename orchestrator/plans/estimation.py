"""What a plan will run, in which order, and what that may take in time and money. Pure: nothing is asked of anybody."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

from orchestrator.domain.plan import AutomatedSpec, Plan, ScenarioSpec
from orchestrator.domain.ramp import ramp_seconds

CREDITS_PER_MINUTE: Final = 5  # Cekura's price of a voice call, WebRTC included (its FAQ); metrics cost extra
TYPICAL_CALL_SECONDS: Final = 120.0
# A small bot; Pipecat Cloud's docs say 10 s at best, 30-60 s and more with large images.
TYPICAL_START_SECONDS: Final = 10.0
DISPATCHES_PER_SECOND: Final = 5.0  # calls that Cekura begins a second (its guide to load testing)

_MINUTE: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One run to come: `index` counts from 1 in the order of starting, `scenario_position` from 0 in the plan.

    Personality and test profile are those an automated channel is asked for; None: what the scenario itself has.
    """

    index: int
    scenario_position: int
    scenario: ScenarioSpec
    personality_id: int | None = None
    test_profile_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Figures for a person to decide by.

    `call_seconds`: what one call is taken to last. `worst_case_call_minutes`: every call at its timeout, and every run
    retried as often as allowed. `credits_low`, `credits_high`: Cekura credits for typical and for worst-case calls,
    without metrics. `session_minutes`: typical session time billed by the provider of our sessions, none on automated
    channels. `seconds`: the best the limits and the ramp allow, from the first start to the end of the last call.
    `order`: (index, scenario id) as runs will be started.
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
    """Every run of the plan in order, of whichever channel."""
    return _hand_driven(plan) if plan.automated is None else tuple(_automated(plan, plan.automated))


def _automated(plan: Plan, automated: AutomatedSpec) -> Iterator[PlannedRun]:
    """Request by request: all runs with one personality and test profile, every scenario in turn."""
    rounds = product(automated.combinations, range(automated.frequency), enumerate(plan.scenarios))
    for index, ((personality_id, test_profile_id), _, (position, scenario)) in enumerate(rounds, start=1):
        yield PlannedRun(
            index=index,
            scenario_position=position,
            scenario=scenario,
            personality_id=personality_id,
            test_profile_id=test_profile_id,
        )


def _hand_driven(plan: Plan) -> tuple[PlannedRun, ...]:
    """One scenario after the other in turn.

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


def calls_at_once(plan: Plan) -> int:
    """How many calls of this plan there are at once, at most."""
    if plan.automated is not None:
        return min(plan.limits.calls, plan.automated.calls or plan.limits.calls)
    return min(plan.limits.calls, plan.limits.concurrency)


def arithmetic(plan: Plan) -> str:
    """How the number of runs comes about, in words a person can check against Cekura's documentation."""
    later = ", without what is selected when the batch begins" if plan.selections else ""
    runs = "1 run" if plan.run_count == 1 else f"{plan.run_count} runs"
    if plan.automated is None:
        entries = len(plan.scenarios) // max(1, len(plan.cells))
        cells = f" x {len(plan.cells)} cells of the matrix" if plan.cells else ""
        named = "1 scenario entry" if entries == 1 else f"{entries} scenario entries"
        return f"{runs}: the repeats of {named}{cells}{later}"
    factors = [f"scenarios {len(plan.scenarios)}", f"frequency {plan.automated.frequency}"]
    factors += [f"personalities {len(ids)}" for ids in [plan.automated.personality_ids] if ids]
    factors += [f"test profiles {len(ids)}" for ids in [plan.automated.test_profile_ids] if ids]
    return f"{runs}: {' x '.join(factors)}{later}"


def estimate(plan: Plan, *, call_seconds: float = TYPICAL_CALL_SECONDS) -> Estimate:
    """Time and money for one batch, with calls of `call_seconds` (or of the plan's timeout, if that is shorter)."""
    runs = plan.run_count
    call = min(call_seconds, plan.timeouts.run)
    slots = calls_at_once(plan)
    worst = runs * (1 + plan.infrastructure_retries) * plan.timeouts.run / _MINUTE
    session = TYPICAL_START_SECONDS + plan.timing.gather + call + plan.timing.teardown_grace
    by_slots = math.ceil(runs / slots) * call
    if plan.ramp is not None:
        by_slots = ramp_seconds(plan.ramp, runs=runs, call_seconds=call)
    per_second = DISPATCHES_PER_SECOND if plan.channel.automated else plan.limits.starts_per_second
    by_starts = (runs - 1) / per_second + call
    return Estimate(
        runs=runs,
        call_seconds=call,
        worst_case_call_minutes=worst,
        credits_low=runs * call / _MINUTE * CREDITS_PER_MINUTE,
        credits_high=worst * CREDITS_PER_MINUTE,
        session_minutes=0.0 if plan.channel.automated else runs * session / _MINUTE,
        seconds=max(by_slots, by_starts),
        order=tuple((run.index, run.scenario.scenario_id) for run in expand(plan)),
    )
