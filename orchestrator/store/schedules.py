"""Statements on schedules: who made them, whether they rest, and up to when their occurrences were decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, insert, literal_column, select, update

from orchestrator.domain.audit import BY_FILE
from orchestrator.domain.errors import Conflict, NotFound
from orchestrator.domain.schedule import FireDecision, MadeBy, ScheduleRecord
from orchestrator.store.locks import lock_definitions, may_be_rerun
from orchestrator.store.tables import QUEUED, fires, schedules

RULE: Final = ("cron", "every", "timezone")  # of a document: what decides when it is due


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What tells whether a schedule has anything to decide, without its document. `waiting`: a fire is queued."""

    name: str
    updated_at: datetime
    considered_until: datetime
    waiting: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What a service file changed, by name."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]


def list_standing(connection: Connection) -> list[Standing]:
    """The schedules that may fire: neither paused nor removed."""
    queued = {row.schedule for row in connection.execute(select(fires.c.schedule).where(literal_column(QUEUED)))}
    query = select(schedules.c.name, schedules.c.updated_at, schedules.c.considered_until).where(_may_fire())
    return [
        Standing(
            name=row.name,
            updated_at=row.updated_at,
            considered_until=row.considered_until,
            waiting=row.name in queued,
        )
        for row in connection.execute(query.order_by(schedules.c.name))
    ]


def list_schedules(connection: Connection) -> list[ScheduleRecord]:
    """All that are not removed, by name."""
    query = select(schedules).where(schedules.c.removed_at.is_(None)).order_by(schedules.c.name)
    return [_schedule(row) for row in connection.execute(query)]


def get_schedule(connection: Connection, name: str) -> ScheduleRecord:
    """One schedule; NotFound names it."""
    found = _find(connection, name)
    if found is None or found.removed_at is not None:
        error = NotFound(f"no schedule {name} in this state")
        error.next_step = "`orchestrator schedules list` shows the ones it knows."
        raise error
    return found


def lock_schedule(connection: Connection, name: str) -> ScheduleRecord:
    """The same, for this transaction alone: nobody else decides on it meanwhile."""
    connection.execute(select(schedules.c.name).where(schedules.c.name == name).with_for_update())
    return get_schedule(connection, name)


def claim_occurrences(
    connection: Connection, name: str, *, believed: datetime, updated_at: datetime, until: datetime
) -> bool:
    """Take the right to decide all occurrences later than `believed`, up to `until`; False where it is not to be had.

    One worker gets it, for this transaction; one that finds it taken does nothing. It is not to be had either where
    the schedule was changed since `updated_at`, or rests.
    """
    as_believed = (
        (schedules.c.name == name)
        & (schedules.c.considered_until == believed)
        & (schedules.c.updated_at == updated_at)
        & _may_fire()
    )
    free = select(schedules.c.name).where(as_believed).with_for_update(skip_locked=True)
    if connection.execute(free).first() is None:
        return False
    return connection.execute(update(schedules).where(as_believed).values(considered_until=until)).rowcount == 1


def sync_schedules(connection: Connection, wanted: Sequence[ScheduleRecord], *, at: datetime) -> Synced:
    """Make the schedules of the service file those of `wanted`; whatever was made by API is left alone.

    Conflict where a name is taken by one made by API: nothing is changed then.
    """
    lock_definitions(connection)
    known = {record.name: record for record in list_schedules(connection)}
    names = {record.name for record in wanted}
    put = {record.name: record_schedule(connection, record) for record in wanted}
    removed = [name for name, one in known.items() if one.made_by is MadeBy.CONFIG and name not in names]
    for name in removed:
        _remove(connection, name, at=at)
    return Synced(
        added=tuple(sorted(name for name in put if name not in known)),
        changed=tuple(sorted(name for name, changed in put.items() if changed and name in known)),
        removed=tuple(sorted(removed)),
    )


def record_schedule(connection: Connection, record: ScheduleRecord) -> bool:
    """Insert a schedule, or make one of that name and maker the same; False where there was nothing to change.

    Its occurrences count from now on where they are others than before; else what was missed may be made up for.
    Somebody's pause stays. Conflict where somebody else made the one that is there.
    """
    lock_definitions(connection)
    existing = _find(connection, record.name)
    if existing is None:
        connection.execute(insert(schedules).values(name=record.name, **_values(record)))
        return True
    if existing.removed_at is not None:
        _set(connection, record.name, **_values(record))
        return True
    if existing.made_by is not record.made_by:
        raise _made_by_another(existing)
    changed = _paused_as(connection, record, existing)
    if dict(existing.document) != dict(record.document):
        _set(connection, record.name, document=dict(record.document), updated_at=record.updated_at)
        changed = True
    if _rule_of(existing.document) != _rule_of(record.document):
        _count_from(connection, record.name, record.considered_until)
    return changed


def check_absent(connection: Connection, name: str, *, at: datetime) -> None:
    """Conflict where a schedule of that name is there already, made before `at`."""
    lock_definitions(connection)
    existing = _find(connection, name)
    if existing is not None and existing.removed_at is None:
        if may_be_rerun(connection) and existing.created_at == at:
            return
        error = Conflict(f"there is a schedule {name} already, made by {_maker(existing)}")
        error.next_step = "Choose another name, or replace it by whoever made it."
        raise error


def record_removed(connection: Connection, name: str, *, at: datetime) -> None:
    """Remove a schedule made by API; its fires are kept. Conflict where the service file made it."""
    known = _find(connection, name)
    if known is not None and known.removed_at == at and may_be_rerun(connection):
        return
    record = lock_schedule(connection, name)
    if record.made_by is not MadeBy.API:
        raise _made_by_another(record)
    _remove(connection, name, at=at)


def record_paused(connection: Connection, name: str, *, at: datetime, by: str) -> bool:
    """Let a schedule rest; False where it does already: the first pause stays as it was."""
    if lock_schedule(connection, name).paused_at is not None:
        return False
    _set(connection, name, paused_at=at, paused_by=by)
    return True


def record_resumed(connection: Connection, name: str, *, at: datetime) -> bool:
    """Let it fire again, from now on: what came due while it rested was not missed. False where it did not rest."""
    if lock_schedule(connection, name).paused_at is None:
        return False
    _resume(connection, name, at=at)
    return True


def _paused_as(connection: Connection, record: ScheduleRecord, existing: ScheduleRecord) -> bool:
    if record.paused_at is not None and existing.paused_at is None:
        _set(connection, record.name, paused_at=record.paused_at, paused_by=record.paused_by)
        return True
    if record.paused_at is None and existing.paused_by == BY_FILE:  # whose pause it alone takes back, at a start
        _resume(connection, record.name, at=record.considered_until)
        return True
    return False


def _resume(connection: Connection, name: str, *, at: datetime) -> None:
    _set(connection, name, paused_at=None, paused_by=None)
    _count_from(connection, name, at)


def _count_from(connection: Connection, name: str, at: datetime) -> None:
    """Take what came due until then as decided; what was decided stays so, whatever a clock says."""
    earlier = (schedules.c.name == name) & (schedules.c.considered_until < at)
    connection.execute(update(schedules).where(earlier).values(considered_until=at))


def _remove(connection: Connection, name: str, *, at: datetime) -> None:
    _set(connection, name, removed_at=at)
    waits = (fires.c.schedule == name) & (fires.c.decision == FireDecision.QUEUED.value)
    left_out = {"decision": FireDecision.SKIPPED.value, "reason": "its schedule was removed", "decided_at": at}
    connection.execute(update(fires).where(waits).values(left_out))


def _find(connection: Connection, name: str) -> ScheduleRecord | None:
    row = connection.execute(select(schedules).where(schedules.c.name == name)).one_or_none()
    return _schedule(row) if row is not None else None


def _set(connection: Connection, name: str, **values: Any) -> None:
    connection.execute(update(schedules).where(schedules.c.name == name).values(values))


def _may_fire() -> ColumnElement[bool]:
    return schedules.c.paused_at.is_(None) & schedules.c.removed_at.is_(None)


def _rule_of(document: Mapping[str, Any]) -> list[Any]:
    kept = document.get("schedule", {})
    return [kept.get(key) for key in RULE]


def _maker(record: ScheduleRecord) -> str:
    return BY_FILE if record.made_by is MadeBy.CONFIG else "the API"


def _made_by_another(existing: ScheduleRecord) -> Conflict:
    error = Conflict(f"the schedule {existing.name} was made by {_maker(existing)}, which alone may change it")
    if existing.made_by is MadeBy.CONFIG:
        error.next_step = "Change it in the service file, and start the worker again."
    else:
        error.next_step = "Rename the one in the service file, or remove the other one by the API."
    return error


def _values(record: ScheduleRecord) -> dict[str, Any]:
    return {
        "document": dict(record.document),
        "source": record.made_by.value,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "considered_until": record.considered_until,
        "paused_at": record.paused_at,
        "paused_by": record.paused_by,
        "removed_at": None,
    }


def _schedule(row: Row[Any]) -> ScheduleRecord:
    return ScheduleRecord(
        name=row.name,
        document=row.document,
        made_by=MadeBy(row.source),
        created_at=row.created_at,
        updated_at=row.updated_at,
        considered_until=row.considered_until,
        paused_at=row.paused_at,
        paused_by=row.paused_by,
        removed_at=row.removed_at,
    )
