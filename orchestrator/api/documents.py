"""What callers send and are answered, with an example of each: the published OpenAPI document is made from these.

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
EXAMPLE_ID: Final = "20261125-093000-4f2a"
EXAMPLE_AT: Final = "2026-11-25T09:30:00+00:00"
EXAMPLE_NONCE: Final = "0b9f0e7c-2b1d-4a55-9c1e-3f5a7d9b1c2e"
EXAMPLE_PLAN: Final = {
    "version": 1,
    "name": "nightly",
    "agent": {"kind": "pipecat_cloud", "name": "support-bot"},
    "cekura": {"agent": 5, "mock_tool_names": []},
    "scenarios": [{"scenario": 101, "repeat": 3}],
    "limits": {"concurrency": 2},
}
EXAMPLE_YAML: Final = (
    "version: 1\nagent: {kind: pipecat_cloud, name: support-bot}\nscenarios: [{scenario: 101, repeat: 3}]\n"
)

PlanName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9._-]+$", max_length=80)]
Reason = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=LONGEST_REASON)]


def shown(example: dict[str, Any]) -> ConfigDict:
    """The settings of a document with this example; keys that it does not name are refused."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


class PlanDocument(BaseModel):
    """A plan: either as JSON in `plan`, or as YAML in `plan_yaml` (problems then have lines)."""

    model_config = shown({"plan": EXAMPLE_PLAN})

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

    model_config = shown({"plan": EXAMPLE_PLAN, "name": "nightly"})

    speed: float = Field(
        default=1.0,
        ge=0.01,
        le=MOST_SPEED,
        allow_inf_nan=False,
        description="Divides all durations, for a sandbox on this machine with the same --speed; refused otherwise.",
    )


class CancelOrder(BaseModel):
    """A wish to cancel a batch."""

    model_config = shown({"reason": "the release was withdrawn", "drain": False})

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

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:orchestrator:problem:not-found",
                    "title": "There is no such thing",
                    "status": 404,
                    "detail": f"no batch {EXAMPLE_ID} in this state",
                    "instance": f"/v1/batches/{EXAMPLE_ID}",
                    "next_step": "GET /v1/batches lists the ones it knows.",
                }
            ]
        }
    )

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

    model_config = shown({"runs": 3, "passed": 2, "failed": 0, "inconclusive": 1})

    runs: int
    passed: int
    failed: int
    inconclusive: int


class BatchDocument(BaseModel):
    """One batch."""

    model_config = shown(
        {
            "id": EXAMPLE_ID,
            "name": "nightly",
            "status": "open",
            "outcome": None,
            "created_at": EXAMPLE_AT,
            "closed_at": None,
            "cancelled": False,
            "reason": "",
            "origin": "api",
            "schedule": None,
            "owner": None,
            "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "speed": 1.0,
            "totals": {"runs": 3, "passed": 0, "failed": 0, "inconclusive": 0},
            "links": {"self": f"/v1/batches/{EXAMPLE_ID}", "events": f"/v1/batches/{EXAMPLE_ID}/events"},
        }
    )

    id: str
    name: str
    status: BatchStatus = Field(description="`closed`: every run has an outcome, every end is confirmed or bounded.")
    outcome: Outcome | None
    created_at: datetime
    closed_at: datetime | None
    cancelled: bool = Field(description="Somebody asked to cancel it.")
    reason: str = Field(description="Why it was cancelled, or why it ended before it cost anything.")
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

    model_config = shown(
        {
            "run_id": f"{EXAMPLE_ID}-001",
            "batch_id": EXAMPLE_ID,
            "index": 1,
            "scenario_id": 101,
            "scenario_position": 0,
            "status": "in_call",
            "outcome": None,
            "reason": "",
            "attempt": 1,
            "retries_used": 0,
            "nonce": EXAMPLE_NONCE,
            "cekura_run_id": 9001,
            "cekura_result_id": 700,
            "timeline": {"planned": EXAMPLE_AT, "in_call": "2026-11-25T09:30:12+00:00"},
        }
    )

    run_id: str
    batch_id: str
    index: int = Field(description="From 1, in the order of starting.")
    scenario_id: int
    scenario_position: int
    status: RunStatus
    outcome: Outcome | None
    reason: str
    attempt: int = Field(description="Sessions begun for it.")
    retries_used: int
    nonce: str | None = Field(description="Names its current session.")
    cekura_run_id: int | None
    cekura_result_id: int | None
    timeline: dict[str, datetime]


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

    nonce: str = Field(description="Its name: the mark that it bears at the remotes.", examples=[EXAMPLE_NONCE])
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
    """What is to be said of a plan; it may run when `valid`. `digest` and `runs` are null when it is not."""

    model_config = shown(
        {
            "valid": False,
            "name": None,
            "digest": None,
            "runs": None,
            "problems": [
                {
                    "path": "scenarios.0.repeat",
                    "line": 3,
                    "message": "must be a whole number",
                    "remedy": "write repeat: 3",
                }
            ],
            "problems_left_out": 0,
            "warnings": [],
        }
    )

    valid: bool
    name: str | None
    digest: str | None
    runs: int | None
    problems: list[ProblemItem]
    problems_left_out: int
    warnings: list[str]


class AuditLine(BaseModel):
    """Who did what to what, and when."""

    model_config = shown(
        {
            "id": 7,
            "at": EXAMPLE_AT,
            "actor": "token:nightly-ci:3f5a7d9b1c2e",
            "action": "batch.create",
            "target": EXAMPLE_ID,
            "detail": {"name": "nightly", "runs": 3},
        }
    )

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

    model_config = shown(
        {
            "status": "alive",
            "worker_id": "build-7-3f5a7d9b",
            "host": "build-7",
            "pid": 4711,
            "version": "0.5.0",
            "started_at": EXAMPLE_AT,
            "lease_until": "2026-11-25T09:30:10+00:00",
            "gone_at": None,
            "fenced_at": None,
            "fenced_by": None,
        }
    )

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

    model_config = shown({"status": "alive", "version": "0.5.0"})

    status: str
    version: str


class Readiness(BaseModel):
    """Every part was asked, and is fine."""

    model_config = shown({"status": "ready", "checks": {"store": "ok", "dispatcher": "ok"}})

    status: str
    checks: dict[str, str]


class Whoami(BaseModel):
    """Who the service takes the caller for."""

    model_config = shown({"actor": "token:nightly-ci:3f5a7d9b1c2e", "scope": "run"})

    actor: str
    scope: Scope
