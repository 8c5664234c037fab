"""The shape of a plan's ramp. Which profile takes which key, and what holds between them, is in `ramps`."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from orchestrator.plans.section import MAX_RUNS, MAX_SESSIONS, Length, Section

LONGEST: Final = 7 * 86_400.0  # seconds


class StopSection(Section):
    """When the ramp is stopped: nothing more is begun, and calls under way come to their end."""

    join_p95: Length | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Bots take longer than this from start to room, at the 95th percentile; seconds, or text.",
        examples=[20],
    )
    min_pass_rate: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Passed runs divided by conclusive runs are less than this.",
        examples=[0.8],
    )
    capacity: int | None = Field(
        default=None,
        ge=1,
        le=MAX_RUNS,
        description="So many starts were refused for capacity since the level last rose.",
        examples=[5],
    )
    after: int = Field(
        default=5,
        ge=1,
        le=MAX_RUNS,
        description="How many bots, or conclusive runs, there must be before join_p95 and min_pass_rate are asked.",
        examples=[5],
    )


class RampSection(Section):
    """How many calls may be placed at once as the batch goes on. All keys of its profile are required."""

    profile: Literal["steps", "linear", "spike", "soak"] = Field(
        description="steps: some more every so often; linear: one by one over a time; spike: a peak, and back;"
        " soak: the same until the runs are used up.",
        examples=["steps"],
    )
    lowest: int | None = Field(
        default=None,
        alias="from",
        ge=1,
        le=MAX_SESSIONS,
        description="Calls at once at first; of steps and linear.",
        examples=[2],
    )
    highest: int | None = Field(
        default=None,
        alias="to",
        ge=1,
        le=MAX_SESSIONS,
        description="Calls at once in the end; of steps and linear.",
        examples=[20],
    )
    step: int | None = Field(
        default=None, ge=1, le=MAX_SESSIONS, description="How many more each time; of steps.", examples=[3]
    )
    every: Length | None = Field(
        default=None,
        gt=0,
        le=LONGEST,
        description="How long each step lasts; of steps. Seconds, or text such as 60s.",
        examples=["60s"],
    )
    over: Length | None = Field(
        default=None,
        gt=0,
        le=LONGEST,
        description="How long the rise takes; of linear. Seconds, or text such as 10m.",
        examples=["10m"],
    )
    base: int | None = Field(
        default=None, ge=1, le=MAX_SESSIONS, description="Calls at once beside the peak; of spike.", examples=[2]
    )
    peak: int | None = Field(
        default=None, ge=1, le=MAX_SESSIONS, description="Calls at once in the peak; of spike.", examples=[20]
    )
    after: Length | None = Field(
        default=None,
        ge=0,
        le=LONGEST,
        description="When the peak begins; of spike. Seconds, or text such as 2m.",
        examples=["2m"],
    )
    lasting: Length | None = Field(
        default=None,
        gt=0,
        le=LONGEST,
        description="How long the peak lasts; of spike. Seconds, or text such as 30s.",
        examples=["30s"],
    )
    calls: int | None = Field(
        default=None, ge=1, le=MAX_SESSIONS, description="Calls held at once; of soak.", examples=[10]
    )
    stop: StopSection | None = Field(
        default=None,
        description="When the ramp is stopped before its end; absent: never.",
        examples=[{"join_p95": 20, "min_pass_rate": 0.8}],
    )
