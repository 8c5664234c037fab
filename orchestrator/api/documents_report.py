"""A batch's report, its teardown statement and a plan's preview, as `run --json` and `plan --json` print them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.channel import Channel
from orchestrator.domain.plan import Evidence
from orchestrator.domain.ramp import Profile
from orchestrator.domain.run import RunStatus
from orchestrator.domain.session import Teardown
from orchestrator.domain.verdict import Outcome


class GateDocument(BaseModel):
    """When the batch passes."""

    min_pass_rate: float
    max_inconclusive: int


class ReportRamp(BaseModel):
    """How far the ramp of the plan came."""

    profile: Profile
    highest_level: int | None = Field(description="Calls at once that were allowed; null where nothing was started.")


class ReportBatch(BaseModel):
    """The batch, and the exit code that sums it up."""

    id: str
    name: str
    channel: Channel
    status: BatchStatus
    outcome: Outcome | None
    created_at: datetime
    closed_at: datetime | None
    cancelled: bool
    reason: str
    stopped: str | None = Field(description="Why the ramp was stopped before its end; null where it was not.")
    stopped_at: datetime | None
    ramp: ReportRamp | None = Field(description="Null where the plan has none.")
    exit_code: int = Field(description="What `orchestrator run` would return; final once the batch is closed.")
    exit_meaning: str
    speed: float
    gate: GateDocument


class ReportTotals(BaseModel):
    """Runs by outcome."""

    runs: int
    passed: int
    failed: int
    inconclusive: int
    pass_rate: float | None = Field(description="Over conclusive runs; null where there are none.")


class EarlierAttempt(BaseModel):
    """A session that the run left, and why."""

    attempt: int
    session_id: str | None
    reason: str


class ReportRun(BaseModel):
    """One run with its last session; on an automated channel it has none of ours."""

    id: str
    index: int
    scenario: int
    matrix: dict[str, Any] = Field(description="Its cell of the plan's matrix; empty where there is none.")
    personality_id: int | None = Field(default=None, description="Where an automated channel was asked for one.")
    test_profile_id: int | None = Field(default=None, description="Where an automated channel was asked for one.")
    status: RunStatus
    outcome: Outcome | None
    reason: str
    attempts: int
    earlier_attempts: list[EarlierAttempt]
    cekura_run_id: int | None
    cekura_result_id: int | None
    result_url: str | None
    session_id: str | None
    room_url: str | None
    evidence: Evidence | None
    call_seconds: float | None
    timeline: dict[str, datetime]


class EndItem(BaseModel):
    """One end of a session or room: how and when confirmed, or by what and until when."""

    what: str = Field(description="`session` or `room`.")
    id: str | None
    state: Teardown
    how: str | None
    at: datetime | None
    by: str | None
    until: datetime | None
    run: str
    attempt: int
    mark: str
    started_at: datetime


class Uncertain(BaseModel):
    """A start or submission of which nobody knows what it did; one of an automated channel carried many runs."""

    what: str
    run: str | None
    attempt: int | None
    reason: str
    at: datetime | None
    until: datetime | None


class Statement(BaseModel):
    """Every session and room that was caused, and how each is known to be gone or what ends it."""

    sessions: int
    rooms: int
    confirmed: int
    bounded: list[EndItem]
    left: list[EndItem]
    uncertain: list[Uncertain]
    items: list[EndItem]


class ReportStatement(Statement):
    """The statement of one batch."""

    by_cekura: bool = Field(description="The sessions are Cekura's own, which it ends itself.")


class Phase(BaseModel):
    """How long one phase took, in seconds."""

    count: int
    median: float
    p95: float


class ReportResult(BaseModel):
    """One of Cekura's results that the batch made."""

    id: int
    name: str | None = Field(description="What Cekura was told to call it.")
    url: str | None = Field(description="Where a member of the project looks at it.")
    shared_url: str | None = Field(description="For whoever has it, where the plan asked for `cekura.share_links`.")


class Report(BaseModel):
    """A batch's report."""

    batch: ReportBatch
    totals: ReportTotals
    results: list[ReportResult]
    runs: list[ReportRun]
    teardown: ReportStatement
    phases: dict[str, Phase]


class Estimate(BaseModel):
    """Time in seconds and minutes, money in Cekura credits; `order` holds (index, scenario id)."""

    runs: int
    call_seconds: float
    worst_case_call_minutes: float
    credits_low: float
    credits_high: float
    session_minutes: float
    seconds: float
    order: list[tuple[int, int]]
    room_seconds: float | None = Field(default=None, description="Absent on automated channels: no room is ours.")


class PlannedRun(BaseModel):
    """What one run's bot would be given, or what an automated channel would be asked for."""

    index: int
    scenario: int
    matrix: dict[str, Any] = Field(
        default_factory=dict, description="Its cell of the plan's matrix; empty where there is none."
    )
    body: dict[str, Any] | None = Field(default=None, description="Absent on automated channels.")
    personality_id: int | None = None
    test_profile_id: int | None = None
    publish_data_message: Any = None


class PlannedLevel(BaseModel):
    """From this second after the first start on, so many calls at once."""

    from_second: float
    calls: int


class PlannedRamp(BaseModel):
    """The ramp of a plan as a table; of many levels, some."""

    profile: Profile
    levels: list[PlannedLevel]
    levels_left_out: int


class Preview(BaseModel):
    """What a plan would do; nothing was started."""

    plan: dict[str, Any]
    digest: str
    runs: list[PlannedRun]
    runs_left_out: int = Field(description="Runs that no longer fitted into the answer.")
    rules: list[str]
    arithmetic: str = Field(description="How the number of runs comes about.")
    ramp: PlannedRamp | None = Field(description="Null where the plan has none.")
    estimate: Estimate
    warnings: list[str]
