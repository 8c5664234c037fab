"""Warm sessions kept ready: how many of them there should be at a moment, and which of them are still good.

A pool's sessions bill while they wait, so it is open for certain hours, keeps few, and lets each go before its bot
would give up by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from orchestrator.domain.plan import AgentSpec, Plan
from orchestrator.domain.run import BotReady, Patience, Run, SessionStarted, StartIntended, next_step
from orchestrator.domain.session import Session, SessionStatus, Teardown

GATHER: Final = 1.0  # seconds; a plan's own values where it says nothing: for these a pool's rooms leave time too
TEARDOWN_GRACE: Final = 2.0
DAY: Final = 24 * 60  # minutes

TOO_OLD: Final = "it waited for as long as the pool allows, and no run took it"
OUTDATED: Final = "the pool was changed after it was started"
NOT_COME: Final = "the bot did not join its room in time"
SURPLUS: Final = "the pool keeps fewer ready now"
CLOSED: Final = "the pool's hours are over"
PAUSED: Final = "the pool was paused"
UNREADABLE: Final = "the pool's definition cannot be read"
REMOVED: Final = "the pool was removed"
DRAINED: Final = "the worker that kept it left"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenHours:
    """When a pool keeps sessions ready: on `days` (Monday is 0) from `opens` to `closes`, minutes of the local day.

    Hours that close no later than they open end on the next day.
    """

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

    def faster(self, speed: float) -> PoolSpec:
        """The same pool with every duration divided by `speed`, for a sandbox that runs faster than life."""
        return replace(
            self,
            max_age=self.max_age / speed,
            check_every=self.check_every / speed,
            starts_per_minute=self.starts_per_minute * speed,
            ready=self.ready / speed,
            run=self.run / speed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool as it is kept: its definition as a document, who made it (`source`: config or api), who keeps it filled.

    `updated_at` is when the definition last changed; what was started before is of an older one. `trouble` is why the
    pool is not filled, in the words of its owner.
    """

    name: str
    document: Mapping[str, Any]
    source: str
    created_at: datetime
    updated_at: datetime
    owner: str | None = None
    trouble: str = ""
    paused_at: datetime | None = None
    paused_by: str | None = None
    removed_at: datetime | None = None

    @property
    def why_empty(self) -> str:
        """Why no session may wait in it, whatever the hour; empty where some may."""
        if self.removed_at is not None:
            return REMOVED
        return PAUSED if self.paused_at is not None else ""


def is_open(spec: PoolSpec, local_time: datetime) -> bool:
    """Whether the pool keeps sessions ready at a moment, given in its own timezone."""
    if not spec.hours:
        return True
    minute = local_time.hour * 60 + local_time.minute
    today, yesterday = local_time.weekday(), (local_time.weekday() - 1) % 7
    return any(_covers(hours, minute, today, yesterday) for hours in spec.hours)


def _covers(hours: OpenHours, minute: int, today: int, yesterday: int) -> bool:
    if hours.opens < hours.closes:
        return today in hours.days and hours.opens <= minute < hours.closes
    return (today in hours.days and minute >= hours.opens) or (yesterday in hours.days and minute < hours.closes)


def plan_refill(
    spec: PoolSpec, *, may_start: bool, ready: int, coming: int, alive: int, since_start: float | None, alone: bool
) -> int:
    """How many sessions to start now: up to `min_ready` while it may, within `max_alive`, at the pool's pace.

    `alive` counts all the pool started that may still live, those of runs and those being torn down too. `since_start`:
    seconds since it last started one, None where it never did. `alone`: no two at a time, until one was answered.
    """
    if not may_start:
        return 0
    wanted = min(spec.min_ready - ready - coming, spec.max_alive - alive)
    if alone:
        wanted = min(wanted, 1 if coming == 0 else 0)
    return max(0, min(wanted, _paced(spec, since_start)))


def _paced(spec: PoolSpec, since_start: float | None) -> int:
    """How many starts the pace allows: what it allows in a second, and one where that is less."""
    burst = max(1, int(spec.starts_per_minute / 60))
    if since_start is None:
        return burst
    return min(burst, int(since_start * spec.starts_per_minute / 60))


def plan_retirement(
    spec: PoolSpec, waiting: Collection[Session], *, now: datetime, why_empty: str, defined_at: datetime
) -> dict[str, str]:
    """Which waiting sessions are to go, by nonce, and why: each of them where the pool is to be empty, else the stale.

    Stale is what is too old, whose bot did not come within `ready`, what was started for an older definition (before
    `defined_at`), or is more than the pool keeps: of those, whose bot is not there yet goes first, then the oldest.
    """
    if why_empty:
        return dict.fromkeys((one.nonce for one in waiting), why_empty)
    stale = {one.nonce: reason for one in waiting if (reason := _staleness(spec, one, now, defined_at))}
    good = [one for one in waiting if one.nonce not in stale]
    surplus = sorted(good, key=lambda one: (one.ready_at is not None, one.ready_at or one.intended_at))
    return stale | dict.fromkeys((one.nonce for one in surplus[: max(0, len(good) - spec.min_ready)]), SURPLUS)


def _staleness(spec: PoolSpec, session: Session, now: datetime, defined_at: datetime) -> str:
    if session.intended_at < defined_at:
        return OUTDATED
    if session.ready_at is None and session.answered_at is not None:
        return NOT_COME if now - session.answered_at > timedelta(seconds=spec.ready) else ""
    return TOO_OLD if session.fit_until is not None and session.fit_until <= now else ""


def fit_until(spec: PoolSpec, session: Session, *, ready_at: datetime) -> datetime:
    """How long a session may be given to a run: `max_age`, and never so late that a whole call would not fit."""
    call = timedelta(seconds=GATHER + spec.run + TEARDOWN_GRACE)
    return min(ready_at + timedelta(seconds=spec.max_age), session.ends_at - call, session.room_expires_at - call)


def needed_until(plan: Plan, *, now: datetime) -> datetime:
    """How long a session given to a run of `plan` now must be able to live."""
    return now + timedelta(seconds=plan.timing.gather + plan.timeouts.run + plan.timing.teardown_grace)


def starts_alike(pool: AgentSpec, plan: AgentSpec) -> bool:
    """Whether a pool starts sessions as a plan would: the same agent, told the same."""
    return _told(pool) == _told(plan)


def _told(agent: AgentSpec) -> tuple[Any, ...]:
    return agent.kind, agent.address, agent.body, agent.room_properties, agent.token_properties


def plan_taking(run: Run, session: Session, *, at: datetime) -> tuple[Run, ...]:
    """The steps of a planned run that is given a warm session: started and ready at once. None for any other run."""
    if session.evidence is None:
        return ()
    steps: list[Run] = []
    for fact in (
        StartIntended(at=at, nonce=session.nonce),
        SessionStarted(at=at),
        BotReady(at=at, evidence=session.evidence),
    ):
        before = steps[-1] if steps else run
        after = next_step(before, fact, Patience(retries=0)).run
        if after is before:
            return ()
        steps.append(after)
    return tuple(steps)


# --- what waiting costs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCost:
    """What a pool did since a moment: sessions started, given to runs, let go unused, and the idle seconds paid.

    Idle is a session from its start until a run took it, or until its end where none did. What a run waits with a
    session it took is the run's. `hours` is how long that was; `idle_per_hour` are seconds.
    """

    since: datetime
    hours: float
    started: int
    served: int
    retired: int
    idle_seconds: float

    @property
    def idle_per_hour(self) -> float:
        """Idle seconds paid in an hour, on average."""
        return self.idle_seconds / self.hours if self.hours > 0 else 0.0


def cost_of(sessions: Iterable[Session], *, since: datetime, now: datetime) -> PoolCost:
    """Add up what the sessions of one pool did and cost from `since` until `now`."""
    known = [one for one in sessions if one.exists and one.sent_at is not None]
    return PoolCost(
        since=since,
        hours=max(0.0, (now - since).total_seconds() / 3600),
        started=sum(_within(one.sent_at, since, now) for one in known),
        served=sum(_within(one.taken_at, since, now) for one in known),
        retired=sum(one.taken_at is None and _within(one.condemned_at, since, now) for one in known),
        idle_seconds=sum(_idle_seconds(one, since, now) for one in known),
    )


def _within(moment: datetime | None, since: datetime, now: datetime) -> bool:
    return moment is not None and since <= moment <= now


def _idle_seconds(session: Session, since: datetime, now: datetime) -> float:
    if session.sent_at is None or session.status is not SessionStatus.ALIVE:
        return 0.0  # whether it ever lived is not known
    until = min(_waited_until(session) or now, session.ends_at, now)
    return max(0.0, (until - max(session.sent_at, since)).total_seconds())


def _waited_until(session: Session) -> datetime | None:
    if session.taken_at is not None:
        return session.taken_at
    if session.session_end.state is Teardown.CONFIRMED:
        return session.session_end.at
    return session.condemned_at if session.torn_down else None
