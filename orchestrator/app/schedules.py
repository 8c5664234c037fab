"""The use cases on schedules: list, show, pause, resume, fire now; make, replace and remove them; follow a file.

Whoever changes something is named by `actor`, and the audit says so in the unit of the change: both are committed, or
neither. Rules and plans are read on a thread: many of them, or a rule that is seldom due, take their time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import takewhile
from typing import Any, Final

from orchestrator.app.preflight import check_keys
from orchestrator.app.selection import unable
from orchestrator.clock import Clock
from orchestrator.domain.audit import BY_FILE
from orchestrator.domain.errors import Conflict, OrchestratorError
from orchestrator.domain.schedule import (
    Decided,
    Fire,
    FireDecision,
    MadeBy,
    Occurrence,
    Overlap,
    Schedule,
    ScheduleRecord,
    in_blackout,
)
from orchestrator.engine.firing import FirePlan, Resolve, carry_out, plan_to_fire, selected
from orchestrator.plans import next_fires, occurrence, schedule_document, schedule_from_document
from orchestrator.settings import Settings
from orchestrator.store import audit as audit_rows
from orchestrator.store import fires as fire_rows
from orchestrator.store import schedules as schedule_rows
from orchestrator.store.database import Store
from orchestrator.store.schedules import Synced

NEXT_SHOWN: Final = 10
FIRES_SHOWN: Final = 10
LOOKED_THROUGH: Final = 500  # occurrences, for the first that no blackout covers


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """An occurrence to come; `blacked_out`: it will be left out."""

    occurrence: Occurrence
    blacked_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleView:
    """A schedule as a person looks at it. `trouble`: why it cannot be read; then `schedule` is None.

    `upcoming` is what its rule says, also while it is paused. `fires` are the latest first.
    """

    record: ScheduleRecord
    schedule: Schedule | None
    trouble: str
    upcoming: tuple[Upcoming, ...]
    fires: tuple[Fire, ...]

    @property
    def next_fire(self) -> Upcoming | None:
        """The next one that will fire; None while it is paused."""
        if self.record.paused_at is not None:
            return None
        return next((one for one in self.upcoming if not one.blacked_out), None)


async def list_schedules(store: Store, *, clock: Clock) -> list[ScheduleView]:
    """All schedules by name, each with its next fire and its last."""
    records = await store.read(schedule_rows.list_schedules)
    last = await store.read(partial(fire_rows.last_fires, schedules=[record.name for record in records]))
    latest = [[last[record.name]] if record.name in last else [] for record in records]
    now = clock.now()

    def views() -> list[ScheduleView]:
        return [_view(record, now=now, fires=fires) for record, fires in zip(records, latest, strict=True)]

    return await asyncio.to_thread(views)


async def show_schedule(store: Store, name: str, *, clock: Clock, fires: int = FIRES_SHOWN) -> ScheduleView:
    """One schedule with its next ten occurrences and its latest fires; NotFound names it."""
    record = await store.read(partial(schedule_rows.get_schedule, name=name))
    latest = await fires_of(store, name, limit=fires)
    return await asyncio.to_thread(_view, record, now=clock.now(), fires=latest, count=NEXT_SHOWN)


async def fires_of(store: Store, name: str, *, limit: int, before: datetime | None = None) -> list[Fire]:
    """The latest fires of a schedule first; `before`: only those due earlier. NotFound where there is none of it."""
    await store.read(partial(schedule_rows.get_schedule, name=name))
    return await store.read(partial(fire_rows.list_fires, schedule=name, limit=limit, before=before))


async def sync_schedules(store: Store, schedules: Sequence[Schedule], *, clock: Clock) -> Synced:
    """Make the schedules of the service file those it says; those made by API are left alone.

    Conflict where a name is taken by one of these; nothing is changed then.
    """

    def unit(connection: Any) -> Synced:
        synced = schedule_rows.sync_schedules(connection, wanted, at=now)
        for action, names in (("create", synced.added), ("change", synced.changed), ("remove", synced.removed)):
            for name in names:
                _tell(connection, action, name, at=now, actor=BY_FILE)
        return synced

    now = clock.now()
    wanted = [_record(schedule, made_by=MadeBy.CONFIG, now=now, actor=BY_FILE) for schedule in schedules]
    return await store.write(unit)


async def create_schedule(store: Store, schedule: Schedule, *, clock: Clock, actor: str) -> ScheduleView:
    """Make a schedule; Conflict where its name is taken."""

    def unit(connection: Any) -> None:
        schedule_rows.check_absent(connection, schedule.name, at=record.created_at)
        schedule_rows.record_schedule(connection, record)
        _tell(connection, "create", schedule.name, at=record.updated_at, actor=actor)

    record = _record(schedule, made_by=MadeBy.API, now=clock.now(), actor=actor)
    await store.write(unit)
    return await show_schedule(store, schedule.name, clock=clock)


async def put_schedule(store: Store, schedule: Schedule, *, clock: Clock, actor: str) -> tuple[ScheduleView, bool]:
    """Make a schedule, and True, or make the one that the API made the same; Conflict where the service file made it.

    Where it is due otherwise than before, it counts from now. A pause stays until somebody resumes it.
    """

    def unit(connection: Any) -> None:
        if schedule_rows.record_schedule(connection, record):
            made = schedule_rows.get_schedule(connection, schedule.name).created_at == now
            _tell(connection, "create" if made else "change", schedule.name, at=now, actor=actor)

    now = clock.now()
    record = _record(schedule, made_by=MadeBy.API, now=now, actor=actor)
    await store.write(unit)
    view = await show_schedule(store, schedule.name, clock=clock)
    return view, view.record.created_at == now


async def remove_schedule(store: Store, name: str, *, clock: Clock, actor: str) -> None:
    """Remove a schedule made by API: what waits is left out, open batches go on, its fires are kept."""

    def unit(connection: Any) -> None:
        schedule_rows.record_removed(connection, name, at=now)
        _tell(connection, "remove", name, at=now, actor=actor)

    now = clock.now()
    await store.write(unit)


async def pause_schedule(store: Store, name: str, *, clock: Clock, actor: str) -> ScheduleView:
    """Let a schedule rest: nothing of it fires, what waits waits on, open batches go on."""

    def unit(connection: Any) -> None:
        if schedule_rows.record_paused(connection, name, at=now, by=actor):
            _tell(connection, "pause", name, at=now, actor=actor)

    now = clock.now()
    await store.write(unit)
    return await show_schedule(store, name, clock=clock)


async def resume_schedule(store: Store, name: str, *, clock: Clock, actor: str) -> ScheduleView:
    """Let a schedule fire again from now on; what came due while it rested is not made up for."""

    def unit(connection: Any) -> None:
        if schedule_rows.record_resumed(connection, name, at=now):
            _tell(connection, "resume", name, at=now, actor=actor)

    now = clock.now()
    await store.write(unit)
    return await show_schedule(store, name, clock=clock)


async def fire_now(
    store: Store,
    name: str,
    *,
    clock: Clock,
    environ: Mapping[str, str] | None,
    actor: str,
    overlap: Overlap | None = None,
    client_key: str | None = None,
    speed: float = 1.0,
    settings: Settings | None = None,
    resolve: Resolve = unable,
) -> tuple[Fire, bool]:
    """Fire a schedule once by hand, also while it is paused or in a blackout; it is recorded as manual.

    Its overlap rule holds, unless `overlap` says otherwise for this once: `allow` begins at once, `queue` waits,
    `cancel` ends the earlier batch. Where the rule is `skip` and a batch is open: Conflict, for whoever asks wants to
    know; so where its plan cannot be carried out. `environ` holds what its templates may read, `settings` the
    keys; None: the worker that takes the batch will have them. `resolve` asks Cekura what the plan selects. Whoever
    asks twice with one `client_key` gets one fire: False beside it says that it was there already.
    """
    schedule = schedule_from_document((await store.read(partial(schedule_rows.get_schedule, name=name))).document)
    plan = plan_to_fire(schedule, environ)
    if plan.loaded is not None and not plan.loaded.plan.resolved:
        if (earlier := await _fired_before(store, name, at=clock.now(), client_key=client_key)) is not None:
            return earlier, False
        plan = await selected(plan, resolve)
    if plan.refusal:
        error = Conflict(f"schedule {name} cannot fire: {plan.refusal}")
        error.next_step = "Give the worker what its plan asks for, or change the plan; nothing was started."
        raise error
    if settings is not None and plan.loaded is not None:
        check_keys(plan.loaded.plan, settings)
    now = clock.now()
    unit = partial(
        _fired_by_hand,
        schedule=schedule,
        overlap=overlap or schedule.overlap,
        plan=plan,
        now=now,
        actor=actor,
        client_key=client_key,
        speed=speed,
    )
    fire = await store.write(unit)
    return fire, fire.due_at == now


async def _fired_before(store: Store, name: str, *, at: datetime, client_key: str | None) -> Fire | None:
    """The fire that was asked for with this key: it stands, whatever Cekura's list of scenarios has become."""
    return await store.read(partial(fire_rows.find_fire, schedule=name, due_at=at, client_key=client_key))


def _fired_by_hand(
    connection: Any,
    *,
    schedule: Schedule,
    overlap: Overlap,
    plan: FirePlan,
    now: datetime,
    actor: str,
    client_key: str | None,
    speed: float,
) -> Fire:
    schedule_rows.lock_schedule(connection, schedule.name)
    if (earlier := fire_rows.find_fire(connection, schedule.name, due_at=now, client_key=client_key)) is not None:
        return earlier
    open_batches = tuple(fire_rows.open_batches(connection, schedule.name))
    waits = fire_rows.waiting_fire(connection, schedule.name) is not None
    decided = Decided(due_at=now, decision=FireDecision.FIRED)
    if open_batches or waits:
        decided = _beside(schedule.name, overlap, decided, open_batches=open_batches, waits=waits)
    fire = carry_out(connection, schedule, decided, plan=plan, now=now, speed=speed, manual=True, client_key=client_key)
    detail = {"decision": fire.decision.value, "batch": fire.batch_id, "cancelled": ", ".join(decided.cancels)}
    _tell(connection, "fire", schedule.name, at=now, actor=actor, detail=detail)
    return fire


def _beside(name: str, overlap: Overlap, decided: Decided, *, open_batches: tuple[str, ...], waits: bool) -> Decided:
    """What a manual fire does while an earlier batch of its schedule is open."""
    if overlap is Overlap.ALLOW:
        return decided
    if overlap is Overlap.CANCEL:
        return Decided(due_at=decided.due_at, decision=decided.decision, cancels=open_batches)
    if overlap is Overlap.QUEUE and not waits:
        reason = "the batch of an earlier fire is open; it begins when that is closed"
        return Decided(due_at=decided.due_at, decision=FireDecision.QUEUED, reason=reason)
    what = "one fire waits already" if waits else f"its batch {', '.join(open_batches)} is open"
    error = Conflict(f"schedule {name} does not fire: {what}")
    error.next_step = "Wait for it or cancel it; `--overlap allow` (by API: overlap) begins beside it all the same."
    raise error


def _tell(
    connection: Any, action: str, name: str, *, at: datetime, actor: str, detail: Mapping[str, str | None] | None = None
) -> None:
    """A line of the audit, in the unit that did it."""
    audit_rows.append_once(
        connection, at=at, actor=actor, action=f"schedule.{action}", target=name, detail=dict(detail or {})
    )


def _record(schedule: Schedule, *, made_by: MadeBy, now: datetime, actor: str) -> ScheduleRecord:
    return ScheduleRecord(
        name=schedule.name,
        document=schedule_document(schedule),
        made_by=made_by,
        created_at=now,
        updated_at=now,
        considered_until=now,
        paused_at=now if schedule.paused else None,
        paused_by=actor if schedule.paused else None,
    )


def _view(record: ScheduleRecord, *, now: datetime, fires: Sequence[Fire], count: int | None = None) -> ScheduleView:
    """`count` occurrences to come; None: up to the first that no blackout covers."""
    schedule, trouble, upcoming = None, "", list[Upcoming]()
    try:
        schedule = schedule_from_document(record.document)
        upcoming = upcoming_of(schedule, now, count=count)
    except OrchestratorError as error:
        trouble = str(error)
    return ScheduleView(record=record, schedule=schedule, trouble=trouble, upcoming=tuple(upcoming), fires=tuple(fires))


def upcoming_of(schedule: Schedule, now: datetime, *, count: int | None = NEXT_SHOWN) -> list[Upcoming]:
    """The next `count` occurrences; None: up to the first that no blackout covers."""
    if count is not None:
        return [_upcoming(schedule, moment) for moment in next_fires(schedule, now, count)]
    following = upcoming_of(schedule, now, count=1)
    if not any(one.blacked_out for one in following):
        return following
    many = upcoming_of(schedule, now, count=LOOKED_THROUGH)
    dark = list(takewhile(lambda one: one.blacked_out, many))
    return many[: len(dark) + 1]


def _upcoming(schedule: Schedule, moment: datetime) -> Upcoming:
    one = occurrence(schedule, moment)
    dark = in_blackout(schedule, one.due_at) or in_blackout(schedule, one.begins_at)
    return Upcoming(occurrence=one, blacked_out=dark)
