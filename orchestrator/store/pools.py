"""Statements on pools: their definitions, by whom they were made, who keeps each filled, and why one is not.

The sessions of a pool are `store/warm_sessions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, exists, insert, literal_column, or_, select, update

from orchestrator.domain.audit import BY_FILE
from orchestrator.domain.errors import Conflict, NotFound
from orchestrator.domain.pool import Pool
from orchestrator.store.locks import lock_definitions, may_be_rerun
from orchestrator.store.tables import IN_POOL, pools, sessions

CONFIG: Final = "config"
API: Final = "api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a service file changed, by name."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


def create_pool(connection: Connection, name: str, *, document: Mapping[str, Any], source: str, at: datetime) -> Pool:
    """Define a pool; Conflict where one of that name is. A removed one's name is free, and its history stays."""
    lock_definitions(connection)
    known = _find(connection, name, lock=True)
    if known is not None and known.removed_at is None:
        if may_be_rerun(connection) and (known.created_at, known.source) == (at, source):
            return known
        raise _taken(known)
    values: dict[str, Any] = {
        "document": dict(document),
        "source": source,
        "created_at": at,
        "updated_at": at,
        "trouble": "",
        "paused_at": None,
        "paused_by": None,
        "removed_at": None,
    }
    if known is None:
        connection.execute(insert(pools).values(name=name, **values))
    else:
        connection.execute(update(pools).where(pools.c.name == name).values(values))
    return get_pool(connection, name)


def put_pool(connection: Connection, name: str, *, document: Mapping[str, Any], source: str, at: datetime) -> Pool:
    """Define a pool, anew where there is one of that name; Conflict where another made it."""
    lock_definitions(connection)
    known = _find(connection, name, lock=True)
    put = create_pool if known is None or known.removed_at is not None else replace_pool
    return put(connection, name, document=document, source=source, at=at)


def replace_pool(connection: Connection, name: str, *, document: Mapping[str, Any], source: str, at: datetime) -> Pool:
    """Define a pool anew; one that is defined so already is left alone. NotFound; Conflict where another made it."""
    known = get_pool(connection, name, lock=True)
    _check_source(known, source)
    if dict(known.document) != dict(document):
        connection.execute(
            update(pools).where(pools.c.name == name).values(document=dict(document), updated_at=at, trouble="")
        )
    return get_pool(connection, name)


def remove_pool(connection: Connection, name: str, *, source: str, at: datetime) -> Pool:
    """Remove a pool: its owner lets its sessions go. NotFound; Conflict where another made it."""
    known = _find(connection, name, lock=True)
    if known is not None and known.removed_at == at and may_be_rerun(connection):
        return known
    known = get_pool(connection, name)
    _check_source(known, source)
    connection.execute(update(pools).where(pools.c.name == name).values(removed_at=at, trouble=""))
    return replace(known, removed_at=at, trouble="")


def sync_configured(connection: Connection, wanted: Mapping[str, Mapping[str, Any]], *, at: datetime) -> Changes:
    """Make the pools of the service file what it says: name to document. Conflict where the API made one of a name.

    What the API made is left alone; what an earlier file named and this one does not is removed.
    """
    lock_definitions(connection)
    rows = connection.execute(select(pools).where(pools.c.removed_at.is_(None)).with_for_update())
    known = {pool.name: pool for pool in map(_pool, rows)}
    added = tuple(name for name in wanted if name not in known)
    changed = tuple(name for name in wanted if name in known and dict(known[name].document) != dict(wanted[name]))
    removed = tuple(name for name, pool in known.items() if pool.source == CONFIG and name not in wanted)
    for name in wanted:
        if name in known and known[name].source != CONFIG:
            raise _taken(known[name])
    for name in added:
        create_pool(connection, name, document=wanted[name], source=CONFIG, at=at)
    for name in changed:
        replace_pool(connection, name, document=wanted[name], source=CONFIG, at=at)
    for name in removed:
        remove_pool(connection, name, source=CONFIG, at=at)
    return Changes(added=added, changed=changed, removed=removed)


def pause_pool(connection: Connection, name: str, *, by: str, at: datetime) -> Pool:
    """Keep nothing ready until it is resumed; the first pause stays. NotFound names it."""
    get_pool(connection, name)
    pause = update(pools).where(pools.c.name == name, pools.c.paused_at.is_(None))
    connection.execute(pause.values(paused_at=at, paused_by=by))
    return get_pool(connection, name)


def resume_pool(connection: Connection, name: str) -> bool:
    """Keep sessions ready again; False where it did not rest. NotFound names it."""
    if get_pool(connection, name, lock=True).paused_at is None:
        return False
    connection.execute(update(pools).where(pools.c.name == name).values(paused_at=None, paused_by=None))
    return True


def get_pool(connection: Connection, name: str, *, lock: bool = False) -> Pool:
    """One pool that is not removed; NotFound names it. `lock`: nobody changes it before this unit is over."""
    pool = _find(connection, name, lock=lock)
    if pool is None or pool.removed_at is not None:
        error = NotFound(f"no pool {name} in this state")
        error.next_step = "`orchestrator pools list` shows the ones it knows; the service file defines them."
        raise error
    return pool


def find_pool(connection: Connection, name: str) -> Pool | None:
    """One pool, removed or not."""
    return _find(connection, name)


def list_pools(connection: Connection) -> list[Pool]:
    """All pools that are not removed, by name."""
    return [
        _pool(row) for row in connection.execute(select(pools).where(pools.c.removed_at.is_(None)).order_by("name"))
    ]


# --- who keeps a pool ------------------------------------------------------------------------------------------------


def ownerless(connection: Connection) -> list[str]:
    """The pools that nobody keeps and that need somebody: those not removed, and those with sessions to let go."""
    waits = exists().where(sessions.c.pool == pools.c.name, literal_column(IN_POOL))
    query = select(pools.c.name).where(pools.c.owner.is_(None), or_(pools.c.removed_at.is_(None), waits))
    return list(connection.execute(query.order_by(pools.c.name)).scalars())


def claim_pool(connection: Connection, name: str, *, worker_id: str) -> bool:
    """Become the one worker that keeps a pool filled; False where another was faster."""
    free = or_(pools.c.owner.is_(None), pools.c.owner == worker_id)
    return connection.execute(update(pools).where(pools.c.name == name, free).values(owner=worker_id)).rowcount == 1


def release_pool(connection: Connection, name: str, *, worker_id: str) -> bool:
    """Leave a pool to whoever comes next; False where this worker did not keep it."""
    leave = update(pools).where(pools.c.name == name, pools.c.owner == worker_id).values(owner=None)
    return connection.execute(leave).rowcount == 1


def owned_pool(connection: Connection, name: str, *, worker_id: str) -> Pool | None:
    """The pool, removed or not, where this worker keeps it still."""
    row = connection.execute(select(pools).where(pools.c.name == name, pools.c.owner == worker_id)).one_or_none()
    return _pool(row) if row is not None else None


def record_trouble(connection: Connection, name: str, *, worker_id: str, trouble: str) -> None:
    """Note why the pool is not filled; empty where it is. Only its owner's word counts."""
    kept = update(pools).where(pools.c.name == name, pools.c.owner == worker_id)
    connection.execute(kept.values(trouble=trouble))


# ---------------------------------------------------------------------------------------------------------------------


def _find(connection: Connection, name: str, *, lock: bool = False) -> Pool | None:
    query = select(pools).where(pools.c.name == name)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    return _pool(row) if row is not None else None


def _check_source(pool: Pool, source: str) -> None:
    if pool.source != source:
        error = Conflict(f"pool {pool.name} was made by {_maker(pool)}, which alone may change it")
        error.next_step = "Change it in the service file." if pool.source == CONFIG else "Change it over the API."
        raise error


def _taken(pool: Pool) -> Conflict:
    error = Conflict(f"there is a pool {pool.name} already, made by {_maker(pool)}")
    error.next_step = "Give this one another name, or remove that one first."
    return error


def _maker(pool: Pool) -> str:
    return BY_FILE if pool.source == CONFIG else "the API"


def _pool(row: Row[Any]) -> Pool:
    return Pool(
        name=row.name,
        document=row.document,
        source=row.source,
        created_at=row.created_at,
        updated_at=row.updated_at,
        owner=row.owner,
        trouble=row.trouble,
        paused_at=row.paused_at,
        paused_by=row.paused_by,
        removed_at=row.removed_at,
    )
