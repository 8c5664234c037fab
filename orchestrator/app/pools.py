"""The use cases on pools: list, show, pause, resume; make, replace and remove them; follow a service file.

`actor` is who lets a pool rest; `note` is run in the unit of a change, so that what was written about it is committed
with it or not at all. Sessions are started and ended by the worker that keeps a pool, within seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from orchestrator.app.statement import moment, teardown_statement
from orchestrator.clock import Clock
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.pool import CLOSED, Pool, PoolCost, PoolSpec, cost_of, is_open
from orchestrator.domain.session import Session
from orchestrator.plans.pools import pool_document, pool_from_document
from orchestrator.store import pools as pool_rows
from orchestrator.store import warm_sessions as warm_rows
from orchestrator.store.database import Store
from orchestrator.store.pools import API, Changes

LOOKED_BACK: Final = timedelta(hours=24)  # what the cost meter and the list of unused sessions cover
MOST_SESSIONS: Final = 10_000
Note = Callable[[Any], None]
T = TypeVar("T")


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


async def sync_pools(store: Store, specs: Sequence[PoolSpec], *, clock: Clock, note: Note | None = None) -> Changes:
    """Make the pools of the service file those it says; those made by API are left alone.

    Conflict where a name is taken by one of these; nothing is changed then.
    """
    wanted = {spec.name: pool_document(spec) for spec in specs}
    return await store.write(_noted(partial(pool_rows.sync_configured, wanted=wanted, at=clock.now()), note))


async def create_pool(store: Store, spec: PoolSpec, *, clock: Clock, note: Note | None = None) -> PoolView:
    """Make a pool; Conflict where its name is taken."""
    unit = partial(pool_rows.create_pool, name=spec.name, document=pool_document(spec), source=API, at=clock.now())
    await store.write(_noted(unit, note))
    return await show_pool(store, spec.name, clock=clock)


async def replace_pool(store: Store, spec: PoolSpec, *, clock: Clock, note: Note | None = None) -> PoolView:
    """Change a pool made by API; its waiting sessions are replaced. NotFound, or Conflict where the file made it."""
    unit = partial(pool_rows.replace_pool, name=spec.name, document=pool_document(spec), source=API, at=clock.now())
    await store.write(_noted(unit, note))
    return await show_pool(store, spec.name, clock=clock)


async def remove_pool(store: Store, name: str, *, clock: Clock, note: Note | None = None) -> None:
    """Remove a pool made by API: its waiting sessions are let go, runs keep theirs."""
    await store.write(_noted(partial(pool_rows.remove_pool, name=name, source=API, at=clock.now()), note))


async def pause_pool(store: Store, name: str, *, clock: Clock, actor: str, note: Note | None = None) -> PoolView:
    """Let a pool rest: its waiting sessions are let go, runs start their own."""
    await store.write(_noted(partial(pool_rows.pause_pool, name=name, by=actor, at=clock.now()), note))
    return await show_pool(store, name, clock=clock)


async def resume_pool(store: Store, name: str, *, clock: Clock, note: Note | None = None) -> PoolView:
    """Let a pool be filled again."""
    await store.write(_noted(partial(pool_rows.resume_pool, name=name), note))
    return await show_pool(store, name, clock=clock)


def pool_answer(view: PoolView) -> dict[str, Any]:
    """A pool as JSON; times in UTC, durations in seconds. `cost`, `waiting`, `unused` where history was asked for."""
    pool, spec = view.pool, view.spec
    return {
        "name": pool.name,
        "source": pool.source,
        "agent": {"kind": spec.agent.kind.value, "address": spec.agent.address} if spec else None,
        "min_ready": spec.min_ready if spec else None,
        "max_alive": spec.max_alive if spec else None,
        "max_age": spec.max_age if spec else None,
        "timezone": spec.timezone if spec else None,
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


def _noted(unit: Callable[[Any], T], note: Note | None) -> Callable[[Any], T]:
    """The unit, and what is noted of it once it has passed: both or neither are committed."""

    def both(connection: Any) -> T:
        value = unit(connection)
        if note is not None:
            note(connection)
        return value

    return both
