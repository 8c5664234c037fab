"""Warm sessions kept ready: how many of them there should be at a moment, and which of them are still good.

A pool's sessions bill while they wait, so it is open for certain hours, keeps few, and lets each go before its bot
would give up by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.domain.plan import AgentSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHours:
    """When a pool keeps sessions ready: on `days` (Monday is 0) from `opens` to `closes`, minutes of the local day."""

    days: tuple[int, ...]
    opens: int
    closes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """One pool: `min_ready` sessions ready, never more than `max_alive` of its own alive (given to runs or not).

    Durations are seconds: `max_age` from a bot's readiness until it is no longer given to a run (below its idle
    timeout), `check_every` between two looks whether it is still there, `ready` for it to come, `run` for a call it is
    given to (its room must live as long). `starts_per_minute` is the refill's pace. No `hours`: always open.
    """

    name: str
    agent: AgentSpec
    min_ready: int
    max_alive: int
    max_age: float
    check_every: float
    starts_per_minute: float
    ready: float
    run: float
    timezone: str
    hours: tuple[OpenHours, ...]
