"""What callers send and are answered: the published OpenAPI document is made from these, and from `examples`.

Answers are the documents of `app`, the same as `--json` prints; here is only what they look like.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from orchestrator.domain.access import Scope
from orchestrator.domain.batch import BatchStatus, Origin
from orchestrator.domain.plan import AgentKind, Evidence
from orchestrator.domain.run import RunStatus
from orchestrator.domain.session import SessionStatus, Teardown
from orchestrator.domain.verdict import Outcome
from orchestrator.domain.worker import WorkerStatus

LONGEST_YAML: Final = 262_144  # characters; YAML is slow to read, and larger plans are JSON
LONGEST_REASON: Final = 400
MOST_SPEED: Final = 1000.0
PlanName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9._-]+$", max_length=80)]
Reason = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=LONGEST_REASON)]


class PlanDocument(BaseModel):
    """A plan: either as JSON in `plan`, or as YAML in `plan_yaml` (problems then have lines)."""

    model_config = ConfigDict(extra="forbid", strict=True)

    plan: dict[str, Any] | None = Field(
        default=None, description="The plan as JSON; `orchestrator plan --schema` prints its schema."
    )
    plan_yaml: str | None = Field(default=None, max_length=LONGEST_YAML, description="The plan as YAML text.")
    name: PlanName | None = Field(default=None, description="Overrides the plan's own name.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.plan is None) == (self.plan_yaml is None):
            message = "needs exactly one of plan and plan_yaml"
            raise ValueError(message)
        return self


class BatchOrder(PlanDocument):
    """A batch to begin."""

    speed: float = Field(
        default=1.0,
        ge=0.01,
        le=MOST_SPEED,
        allow_inf_nan=False,
        description="Divides all durations, for a sandbox on this machine with the same --speed; refused otherwise.",
    )


class CancelOrder(BaseModel):
    """A wish to cancel a batch."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Reason = Field(default="", description="Why; it is kept with the batch and in the audit.")
    drain: bool = Field(default=False, description="Let calls under way finish; a later wish without it ends them.")


class ProblemItem(BaseModel):
    """One thing wrong with a plan or a request."""

    path: str = Field(description="The key, as in `scenarios.0.repeat`; of a request, from `body` or `query` on.")
    line: int | None = Field(description="The line of the YAML, from 1; null where there is none.")
    message: str
    remedy: str = Field(description="What to write instead; empty where there is nothing to say.")


class Problem(BaseModel):
    """An error (RFC 9457). `type` is stable and for programs; all else is for people."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was asked.")
    next_step: str = Field(description="What to do about it.")
    problems: list[ProblemItem] | None = Field(default=None, description="Everything wrong, at once.")
    problems_left_out: int | None = Field(default=None, description="How many more there are.")
    checks: dict[str, str] | None = Field(default=None, description="Of /readyz: each part with its state.")


class TotalsDocument(BaseModel):
    """Runs by outcome; those without one yet are in `runs` only."""

    runs: int
    passed: int
    failed: int
    inconclusive: int


class BatchDocument(BaseModel):
    """One batch."""

    id: str
    name: str
    status: BatchStatus = Field(description="`closed`: every run has an outcome, every end is confirmed or bounded.")
    outcome: Outcome | None
    created_at: datetime
    closed_at: datetime | None
    cancelled: bool = Field(description="Somebody asked to cancel it.")
    reason: str = Field(description="Why it was cancelled, or why it ended before it cost anything.")
    stopped: str | None = Field(description="Why its ramp was stopped before its end; null where it was not.")
    origin: Origin
    schedule: str | None = Field(description="The schedule whose fire it is.")
    owner: str | None = Field(description="The worker that drives it; null while it waits for one.")
    digest: str = Field(description="Identifies the plan it executes.")
    speed: float
    totals: TotalsDocument
    links: dict[str, str] = Field(description="Paths of what belongs to it.")


class NewBatchDocument(BatchDocument):
    """A batch that was begun, and what a person should know of it."""

    warnings: list[str]


class BatchPage(BaseModel):
    """Batches, newest first."""

    batches: list[BatchDocument]
    next_cursor: str | None = Field(description="Asks for those after these; null when there are no more.")


class RunDocument(BaseModel):
    """One run; `timeline` maps a status to when it was last reached."""

    run_id: str
    batch_id: str
    index: int = Field(description="From 1, in the order of starting.")
    scenario_id: int
    scenario_position: int
    status: RunStatus
    outcome: Outcome | None
    reason: str
    attempt: int = Field(description="Sessions begun for it; on an automated channel, submissions that carried it.")
    retries_used: int
    nonce: str | None = Field(description="Names its current session.")
    cekura_run_id: int | None
    cekura_result_id: int | None
    timeline: dict[str, datetime]
    submission_id: str | None = Field(description="The submission of an automated channel that carries it.")
    personality_id: int | None = Field(description="What an automated channel is asked for; null: the scenario's own.")
    test_profile_id: int | None = Field(description="What an automated channel is asked for; null: the scenario's own.")


class RunPage(BaseModel):
    """The runs of a batch, in order."""

    runs: list[RunDocument]
    next_cursor: str | None


class EndDocument(BaseModel):
    """How one thing ended, or will."""

    state: Teardown
    how: str
    at: datetime | None


class SessionDocument(BaseModel):
    """One session and its room; its meeting token is never shown."""

    nonce: str = Field(description="Its name: the mark that it bears at the remotes.")
    batch_id: str = Field(description="Empty while it waits in a pool.")
    run_id: str
    attempt: int
    agent_kind: AgentKind
    agent_address: str
    status: SessionStatus
    intended_at: datetime
    ends_by: str = Field(description="What ends it by itself, at `ends_at`.")
    ends_at: datetime
    room_expires_at: datetime
    sent_at: datetime | None
    answered_at: datetime | None
    session_id: str | None = Field(description="The remote's id.")
    room_url: str | None
    ready_at: datetime | None
    evidence: Evidence | None
    seen_in_room_at: datetime | None
    submission_id: str | None
    cekura_run_id: int | None
    condemned_at: datetime | None
    condemned_for: str
    teardown_from: datetime | None
    session_end: EndDocument
    room_end: EndDocument
    room_seen_by: str | None
    note: str
    pool: str | None
    fit_until: datetime | None
    checked_at: datetime | None


class SessionPage(BaseModel):
    """Sessions, newest first."""

    sessions: list[SessionDocument]
    next_cursor: str | None


class RunWithSessions(RunDocument):
    """One run with every session it had."""

    result_url: str | None = Field(description="Where a person looks at it.")
    sessions: list[SessionDocument]


class Findings(BaseModel):
    """What is to be said of a plan; it may run when `valid`. `digest` and `runs` are null when it is not.

    `runs` is null as well where scenarios are selected: estimate the plan to learn how many these are now.
    """

    valid: bool
    name: str | None
    digest: str | None
    runs: int | None
    problems: list[ProblemItem]
    problems_left_out: int
    warnings: list[str]


class AuditLine(BaseModel):
    """Who did what to what, and when."""

    id: int
    at: datetime
    actor: str
    action: str
    target: str
    detail: dict[str, str | int | float | bool | None]


class AuditPage(BaseModel):
    """The audit, newest first."""

    entries: list[AuditLine]
    next_cursor: str | None


class WorkerDocument(BaseModel):
    """One process that drives. `late`: its lease ran out, and nobody has fenced it yet."""

    status: WorkerStatus
    worker_id: str
    host: str
    pid: int
    version: str
    started_at: datetime
    lease_until: datetime
    gone_at: datetime | None
    fenced_at: datetime | None
    fenced_by: str | None


class WorkerList(BaseModel):
    """The workers that began last, newest first."""

    workers: list[WorkerDocument]


class Alive(BaseModel):
    """The process answers."""

    status: str
    version: str


class Readiness(BaseModel):
    """Every part was asked, and is fine."""

    status: str
    checks: dict[str, str]


class Whoami(BaseModel):
    """Who the service takes the caller for."""

    actor: str
    scope: Scope
