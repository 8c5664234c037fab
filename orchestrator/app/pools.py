"""The use cases on pools: list, show, pause, resume; make, replace and remove them; follow a service file.

Whoever changes something is named by `actor`, and the audit says so in the unit of the change: both are committed, or
neither. Sessions are started and ended by the worker that keeps a pool, within seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from orchestrator.app.statement import moment, teardown_statement
from orchestrator.clock import Clock
from orchestrator.domain.audit import BY_FILE
from orchestrator.domain.errors import InvalidPlan, OrchestratorError, Problem
from orchestrator.domain.pool import CLOSED, OpenHours, Pool, PoolCost, PoolSpec, cost_of, is_open
from orchestrator.domain.session import Session
from orchestrator.plans.pools import pool_document, pool_from_document
from orchestrator.plans.timetable import WEEKDAYS, time_of_day
from orchestrator.store import audit as audit_rows
from orchestrator.store import pools as pool_rows
from orchestrator.store import warm_sessions as warm_rows
from orchestrator.store.database import Store
from orchestrator.store.pools import API, Changes

LOOKED_BACK: Final = timedelta(hours=24)  # what the cost meter and the list of unused sessions cover
MOST_SESSIONS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """A pool as a person looks at it. `trouble`: why it is not filled, or cannot be read (then `spec` is None).

    `resting` is why it keeps nothing ready now, empty where it does. `sessions` are those that concern it still;
    `recent` those of the last day, and `cost` what these cost, where they were asked for.
    """

    pool: Pool
    spec: PoolSpec | None
    trouble: str
    resting: str
    sessions: tuple[Session, ...]
    recent: tuple[Session, ...] = ()
    cost: PoolCost | None = None

    @property
    def ready(self) -> list[Session]:
        """Those that wait for a run."""
        return [one for one in self.sessions if one.waits_in_pool and one.ready_at is not None]

    @property
    def coming(self) -> list[Session]:
        """Those whose bot is awaited."""
        return [one for one in self.sessions if one.waits_in_pool and one.ready_at is None]

    @property
    def with_runs(self) -> list[Session]:
        """Those that runs took and still need."""
        return [one for one in self.sessions if one.run_id and one.condemned_at is None]

    @property
    def ending(self) -> list[Session]:
        """Those that are being torn down."""
        return [one for one in self.sessions if one.condemned_at is not None]

    @property
    def unused(self) -> list[Session]:
        """Those of the last day that served nobody, and no longer wait."""
        return [one for one in self.recent if not one.run_id and one.condemned_at is not None and one.exists]


async def list_pools(store: Store, *, clock: Clock) -> list[PoolView]:
    """All pools by name, each with its sessions; without history."""
    pools = await store.read(pool_rows.list_pools)
    kept = [await store.read(partial(warm_rows.list_kept, pool=pool.name)) for pool in pools]
    return [_view(pool, sessions, now=clock.now()) for pool, sessions in zip(pools, kept, strict=True)]


async def show_pool(store: Store, name: str, *, clock: Clock) -> PoolView:
    """One pool with its last day and what that cost; NotFound names it."""
    pool = await store.read(partial(pool_rows.get_pool, name=name))
    now = clock.now()
    since = max(pool.created_at, now - LOOKED_BACK)
    kept = await store.read(partial(warm_rows.list_kept, pool=name))
    recent = await store.read(partial(warm_rows.list_since, pool=name, since=since, limit=MOST_SESSIONS))
    return _view(pool, kept, now=now, recent=recent, cost=cost_of(recent, since=since, now=now))


async def sync_pools(
    store: Store, specs: Sequence[PoolSpec], *, clock: Clock, sessions_limit: int | None = None
) -> Changes:
    """Make the pools of the service file those it says; those made by API are left alone.

    Conflict where a name is taken by one of these, InvalidPlan where one is larger than the provider allows; nothing
    is changed then.
    """

    def unit(connection: Any) -> Changes:
        changes = pool_rows.sync_configured(connection, wanted, at=now)
        for action, names in (("create", changes.added), ("change", changes.changed), ("remove", changes.removed)):
            for name in names:
                _tell(connection, action, name, at=now, actor=BY_FILE)
        return changes

    now = clock.now()
    for spec in specs:
        check_size(spec, sessions_limit, path=f"pools.{spec.name}.max_alive")
    wanted = {spec.name: pool_document(spec) for spec in specs}
    return await store.write(unit)


async def create_pool(
    store: Store, spec: PoolSpec, *, clock: Clock, actor: str, sessions_limit: int | None = None
) -> PoolView:
    """Make a pool; Conflict where its name is taken, InvalidPlan where it is larger than the provider allows."""

    def unit(connection: Any) -> None:
        pool_rows.create_pool(connection, spec.name, document=pool_document(spec), source=API, at=now)
        _tell(connection, "create", spec.name, at=now, actor=actor)

    now = clock.now()
    check_size(spec, sessions_limit)
    await store.write(unit)
    return await show_pool(store, spec.name, clock=clock)


async def put_pool(
    store: Store, spec: PoolSpec, *, clock: Clock, actor: str, sessions_limit: int | None = None
) -> tuple[PoolView, bool]:
    """Make a pool, and True, or make the one that the API made the same; its waiting sessions are replaced then.

    Conflict where the service file made it; InvalidPlan where it is larger than the provider allows.
    """

    def unit(connection: Any) -> None:
        put = pool_rows.put_pool(connection, spec.name, document=pool_document(spec), source=API, at=now)
        if put.updated_at == now:
            _tell(connection, "create" if put.created_at == now else "change", spec.name, at=now, actor=actor)

    now = clock.now()
    check_size(spec, sessions_limit)
    await store.write(unit)
    view = await show_pool(store, spec.name, clock=clock)
    return view, view.pool.created_at == now


async def remove_pool(store: Store, name: str, *, clock: Clock, actor: str) -> None:
    """Remove a pool made by API: its waiting sessions are let go, runs keep theirs."""

    def unit(connection: Any) -> None:
        pool_rows.remove_pool(connection, name, source=API, at=now)
        _tell(connection, "remove", name, at=now, actor=actor)

    now = clock.now()
    await store.write(unit)


async def pause_pool(store: Store, name: str, *, clock: Clock, actor: str) -> PoolView:
    """Let a pool rest: its waiting sessions are let go, runs start their own."""

    def unit(connection: Any) -> None:
        if pool_rows.pause_pool(connection, name, by=actor, at=now).paused_at == now:
            _tell(connection, "pause", name, at=now, actor=actor)

    now = clock.now()
    await store.write(unit)
    return await show_pool(store, name, clock=clock)


async def resume_pool(store: Store, name: str, *, clock: Clock, actor: str) -> PoolView:
    """Let a pool be filled again."""

    def unit(connection: Any) -> None:
        if pool_rows.resume_pool(connection, name):
            _tell(connection, "resume", name, at=now, actor=actor)

    now = clock.now()
    await store.write(unit)
    return await show_pool(store, name, clock=clock)


def check_size(spec: PoolSpec, sessions_limit: int | None, *, path: str = "max_alive") -> None:
    """InvalidPlan where a pool asks for more sessions alive than all batches and pools may have together."""
    if sessions_limit is None or spec.max_alive <= sessions_limit:
        return
    message = (
        f"is {spec.max_alive}: a pool larger than the provider allows, which is {sessions_limit} sessions alive for all"
        " batches and pools together (ORCHESTRATOR_SESSIONS_LIMIT)"
    )
    remedy = f"write max_alive: {sessions_limit} or less, and leave some to batches"
    error = InvalidPlan((Problem(path=path, message=message, remedy=remedy),))
    error.next_step = "Make the pool smaller, or raise the limit if the provider allows more; nothing was changed."
    raise error


def _tell(connection: Any, action: str, name: str, *, at: datetime, actor: str) -> None:
    """A line of the audit, in the unit that did it."""
    audit_rows.append_once(connection, at=at, actor=actor, action=f"pool.{action}", target=name)


def pool_answer(view: PoolView) -> dict[str, Any]:
    """A pool as JSON; times in UTC, durations in seconds. `cost`, `waiting`, `unused` where history was asked for."""
    pool, spec = view.pool, view.spec
    return {
        "name": pool.name,
        "made_by": pool.source,
        "agent": {"kind": spec.agent.kind.value, "address": spec.agent.address} if spec else None,
        "min_ready": spec.min_ready if spec else None,
        "max_alive": spec.max_alive if spec else None,
        "max_age": spec.max_age if spec else None,
        "check_every": spec.check_every if spec else None,
        "starts_per_minute": spec.starts_per_minute if spec else None,
        "ready": spec.ready if spec else None,
        "run": spec.run if spec else None,
        "timezone": spec.timezone if spec else None,
        "hours": [_hours(one) for one in spec.hours] if spec else None,
        "resting": view.resting or None,
        "trouble": view.trouble or None,
        "owner": pool.owner,
        "paused_at": moment(pool.paused_at),
        "paused_by": pool.paused_by,
        "created_at": moment(pool.created_at),
        "updated_at": moment(pool.updated_at),
        "sessions": {
            "ready": len(view.ready),
            "coming": len(view.coming),
            "with_runs": len(view.with_runs),
            "ending": len(view.ending),
        },
        **(_history(view, view.cost) if view.cost is not None else {}),
    }


def _hours(one: OpenHours) -> dict[str, Any]:
    return {
        "days": [WEEKDAYS[day] for day in one.days],
        "open": time_of_day(one.opens),
        "close": time_of_day(one.closes),
    }


def _history(view: PoolView, cost: PoolCost) -> dict[str, Any]:
    return {
        "cost": {
            "since": moment(cost.since),
            "hours": round(cost.hours, 3),
            "started": cost.started,
            "served": cost.served,
            "retired": cost.retired,
            "idle_seconds": round(cost.idle_seconds, 1),
            "idle_seconds_per_hour": round(cost.idle_per_hour, 1),
        },
        "waiting": [_waiting(one) for one in [*view.ready, *view.coming]],
        "unused": teardown_statement(view.unused),
    }


def _waiting(session: Session) -> dict[str, Any]:
    return {
        "session": session.session_id,
        "mark": session.nonce,
        "status": session.status.value,
        "started_at": moment(session.sent_at or session.intended_at),
        "ready_at": moment(session.ready_at),
        "evidence": session.evidence.value if session.evidence else None,
        "seen_at": moment(session.checked_at),
        "fit_until": moment(session.fit_until),
    }


def _view(
    pool: Pool,
    sessions: Sequence[Session],
    *,
    now: datetime,
    recent: Sequence[Session] = (),
    cost: PoolCost | None = None,
) -> PoolView:
    spec, trouble, resting = None, pool.trouble, pool.why_empty
    try:
        spec = pool_from_document(pool.document)
        if not resting and not is_open(spec, now.astimezone(ZoneInfo(spec.timezone))):
            resting = CLOSED
    except OrchestratorError as error:
        trouble = str(error)
    return PoolView(
        pool=pool,
        spec=spec,
        trouble=trouble,
        resting=resting,
        sessions=tuple(sessions),
        recent=tuple(recent),
        cost=cost,
    )
