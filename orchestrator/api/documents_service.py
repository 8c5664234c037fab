"""Schedules, their fires and pools, as `schedules` and `pools` print them with `--json`; here with links."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.api.documents_report import Statement
from orchestrator.domain.plan import AgentKind, Evidence
from orchestrator.domain.schedule import FireDecision, MadeBy, Missed, Overlap
from orchestrator.domain.session import SessionStatus


class FireOrder(BaseModel):
    """A wish to fire a schedule now."""

    model_config = ConfigDict(extra="forbid")

    overlap: Overlap | None = Field(
        default=None, description="Instead of its own rule, for this once; `skip` refuses beside an open batch."
    )


class PlanSummary(BaseModel):
    """A schedule's plan."""

    name: str
    digest: str
    runs: int | None = Field(description="Null where scenarios are selected: each fire asks Cekura which they are.")
    agent: str


class BlackoutDocument(BaseModel):
    """A time in which nothing fires: between two moments, or every week on `days` between two times of day."""

    model_config = ConfigDict(populate_by_name=True)

    days: list[str] | None = None
    begins: str = Field(alias="from", description="A moment in UTC, or a local time of day.")
    until: str


class UpcomingDocument(BaseModel):
    """An occurrence to come."""

    due_at: datetime
    due_local: datetime = Field(description="The same moment on the schedule's own clock.")
    begins_at: datetime = Field(description="Later by its jitter.")
    blacked_out: bool = Field(description="It will be left out.")


class FireDocument(BaseModel):
    """What became of one occurrence."""

    id: int
    schedule: str
    due_at: datetime
    decision: FireDecision
    reason: str
    decided_at: datetime
    batch: str | None = Field(description="The batch that it made.")
    manual: bool = Field(description="Somebody asked for it.")


class FirePage(BaseModel):
    """The fires of a schedule, newest first."""

    fires: list[FireDocument]
    next_cursor: str | None


class ScheduleDocument(BaseModel):
    """One schedule. Its rule is null throughout where it cannot be read."""

    name: str
    made_by: MadeBy = Field(description="Who alone may change it; anybody with the scope may pause it.")
    paused_at: datetime | None
    paused_by: str | None
    created_at: datetime
    updated_at: datetime
    trouble: str | None = Field(description="Why it cannot be read.")
    cron: str | None
    every: float | None
    timezone: str | None
    jitter: float | None
    overlap: Overlap | None
    missed: Missed | None
    window: float | None
    blackouts: list[BlackoutDocument] | None
    plan: PlanSummary | None
    next: list[UpcomingDocument] = Field(
        description="The next ten occurrences, also while it is paused; in a list, up to the first that will fire."
    )
    fires: list[FireDocument] = Field(description="The latest ten, newest first; in a list, the latest.")
    links: dict[str, str] = Field(description="Paths of what belongs to it.")


class ScheduleList(BaseModel):
    """All schedules, by name."""

    schedules: list[ScheduleDocument]


class AgentDocument(BaseModel):
    """Where a pool's sessions are started."""

    kind: AgentKind
    address: str


class OpenHoursDocument(BaseModel):
    """When a pool keeps sessions ready, on the clock of its timezone."""

    days: list[str]
    open: str
    close: str


class PoolSessions(BaseModel):
    """How many sessions a pool has to do with."""

    ready: int = Field(description="They wait for a run.")
    coming: int = Field(description="Their bots are awaited.")
    with_runs: int
    ending: int = Field(description="They are being torn down.")


class PoolDocument(BaseModel):
    """One pool. What it is told is null where its definition cannot be read. Durations are seconds."""

    name: str
    made_by: MadeBy = Field(description="Who alone may change it; anybody with the scope may pause it.")
    agent: AgentDocument | None
    min_ready: int | None
    max_alive: int | None
    max_age: float | None
    check_every: float | None
    starts_per_minute: float | None
    ready: float | None
    run: float | None
    timezone: str | None
    hours: list[OpenHoursDocument] | None = Field(description="Empty: always open.")
    resting: str | None = Field(description="Why it keeps nothing ready now.")
    trouble: str | None = Field(description="Why it is not filled, or cannot be read.")
    owner: str | None = Field(description="The worker that keeps it filled.")
    paused_at: datetime | None
    paused_by: str | None
    created_at: datetime
    updated_at: datetime
    sessions: PoolSessions
    links: dict[str, str] = Field(description="Paths of what belongs to it.")


class PoolList(BaseModel):
    """All pools, by name."""

    pools: list[PoolDocument]


class CostDocument(BaseModel):
    """What a pool did in its last day, and the idle seconds that were paid for it."""

    since: datetime
    hours: float
    started: int
    served: int = Field(description="Sessions that a run took.")
    retired: int = Field(description="Sessions that served nobody.")
    idle_seconds: float
    idle_seconds_per_hour: float


class WaitingSession(BaseModel):
    """A session that waits in a pool, or whose bot is awaited."""

    session: str | None = Field(description="The remote's id.")
    mark: str
    status: SessionStatus
    started_at: datetime
    ready_at: datetime | None
    evidence: Evidence | None
    seen_at: datetime | None
    fit_until: datetime | None = Field(description="Until when it may be given to a run.")


class PoolDetail(PoolDocument):
    """One pool with its last day."""

    cost: CostDocument
    waiting: list[WaitingSession]
    unused: Statement = Field(description="How the sessions ended that served nobody.")
