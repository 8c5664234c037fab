"""Lets schedules fire: once a second, in every worker at once, each occurrence decided by one of them.

What is due since the last decision is computed from the row; `domain/schedule` says what to do about it. The decision,
its fires and their batches are one unit, which begins by moving the row's `considered_until` from where it was
believed to be: a worker that finds it moved does nothing. The batches wait for a worker, which may be another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Any, Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.errors import OrchestratorError
from orchestrator.domain.schedule import (
    ON_TIME,
    Fire,
    FireDecision,
    Missed,
    Occurrence,
    Schedule,
    condensed,
    decide,
    in_blackout,
    missed_before,
)
from orchestrator.engine.firing import FirePlan, Resolve, begin_waiting, carry_out, plan_to_fire, selected
from orchestrator.plans import fires_between, next_fires, occurrence, schedule_from_document
from orchestrator.store import fires as fire_rows
from orchestrator.store import schedules as schedule_rows
from orchestrator.store.database import Store
from orchestrator.store.schedules import Standing

LOOK_EVERY: Final = 1.0
ASKED_WITHIN: Final = 0.25  # of a look; an answer that takes longer is for a later one
MADE_UP_AT_ONCE: Final = 50  # batches of one unit, where all missed fires are made up for
LOOKED_AT_ONCE: Final = 20_000  # occurrences; more than the longest window holds
Told = Callable[[str, FireDecision, timedelta | None], None]


@dataclass(slots=True)
class _Known:
    """A schedule as its row was at `updated_at`, and which occurrence comes after `counted_from`.

    `selecting` asks Cekura which scenarios its plan means, for a fire that is due.
    """

    schedule: Schedule
    updated_at: datetime
    counted_from: datetime | None = None
    upcoming: Occurrence | None = None
    selecting: asyncio.Task[FirePlan] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """What is to be decided now, up to `until`; `lost` is the first of those too old to be looked at singly."""

    lost: Occurrence | None
    occurrences: Sequence[Occurrence]
    until: datetime


class Scheduler:
    """One per worker. `told` hears what became of each fire, and how long after its moment; `fired` that there is a
    batch to take. `speed` is that of the batches, and hurries the looks. `resolve` looks up what a plan selects.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        environ: Mapping[str, str],
        resolve: Resolve,
        speed: float = 1.0,
        told: Told = lambda _name, _decision, _lag: None,
        fired: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._environ = environ
        self._resolve = resolve
        self._speed = speed
        self._told = told
        self._fired = fired
        self._known: dict[str, _Known] = {}
        self._asking: set[asyncio.Task[FirePlan]] = set()
        self._troubles: dict[str, str] = {}

    async def run(self) -> None:
        """Look once a second until cancelled."""
        try:
            while True:
                await self.look()
                await self._clock.sleep(LOOK_EVERY / self._speed)
        finally:
            for task in self._asking:
                task.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)

    async def look(self) -> None:
        """Decide all that is due now; trouble with one schedule is logged once, and stops no other."""
        try:
            standing = await self._store.read(schedule_rows.list_standing)
        except OrchestratorError as error:
            self._note("", str(error))
            return
        self._note("", "")
        for gone in self._known.keys() - {one.name for one in standing}:
            del self._known[gone]
        for one in standing:
            try:
                await self._look_at(one)
                self._note(one.name, "")
            except OrchestratorError as error:
                self._note(one.name, str(error))
            except Exception as error:  # noqa: BLE001  the supervisor: a defect met by one schedule must not stop the others
                self._note(one.name, f"a defect of the orchestrator: {error!r}")

    def _note(self, name: str, trouble: str) -> None:
        """Log what is wrong with a schedule when it begins, not every second."""
        if trouble and self._troubles.get(name) != trouble:
            logger.error("a schedule cannot be decided", schedule=name or "(all)", error=trouble)
        self._troubles[name] = trouble

    async def _look_at(self, one: Standing) -> None:
        known = self._known.get(one.name)
        if known is None or known.updated_at != one.updated_at:
            record = await self._store.read(partial(schedule_rows.get_schedule, name=one.name))
            known = _Known(schedule_from_document(record.document), record.updated_at)
            self._known[one.name] = known
        now = self._clock.now()
        if one.waiting:
            await self._begin_waiting(known, now)
        due = self._due(known, one.considered_until, now)
        if due is not None:
            await self._decide(known, one, due, now)

    # --- what is due -----------------------------------------------------------------------------------------------

    def _due(self, known: _Known, considered_until: datetime, now: datetime) -> _Due | None:
        schedule = known.schedule
        if known.counted_from != considered_until:
            following = next_fires(schedule, considered_until, 1)
            known.upcoming = occurrence(schedule, following[0]) if following else None
            known.counted_from = considered_until
        if known.upcoming is None or known.upcoming.begins_at > now:
            return None
        looked_from = now - ON_TIME - timedelta(seconds=schedule.window + schedule.jitter)
        lost = known.upcoming if known.upcoming.due_at <= looked_from else None
        since = looked_from if lost is not None else considered_until
        limit = MADE_UP_AT_ONCE if schedule.missed is Missed.ALL else LOOKED_AT_ONCE
        moments = fires_between(schedule, since, now, limit)
        begun = tuple(takewhile(lambda one: one.begins_at <= now, (occurrence(schedule, moment) for moment in moments)))
        return _Due(lost=lost, occurrences=begun, until=begun[-1].due_at if begun else since)

    async def _decide(self, known: _Known, one: Standing, due: _Due, now: datetime) -> None:
        plan = await self._plan(known)
        if plan is None:
            return
        unit = partial(self._decided, known=known, believed=one.considered_until, due=due, plan=plan, now=now)
        begins = {occurrence.due_at: occurrence.begins_at for occurrence in due.occurrences}
        for fire in await self._store.write(unit) or ():
            self._tell(fire, lag=(now - begins[fire.due_at]).total_seconds() if fire.due_at in begins else None)

    async def _plan(self, known: _Known) -> FirePlan | None:
        """A schedule's plan as it may be carried out now; None while Cekura is asked what it selects.

        No other schedule waits for that: a later look takes the answer. Each fire asks anew.
        """
        plan = plan_to_fire(known.schedule, self._environ)
        if plan.loaded is None or plan.loaded.plan.resolved:
            return plan
        task = known.selecting
        if task is None:
            task = known.selecting = asyncio.create_task(selected(plan, self._resolve), name="select scenarios")
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        await asyncio.wait([task], timeout=ASKED_WITHIN)
        if not task.done():
            return None
        known.selecting = None
        return task.result()

    def _decided(
        self, connection: Any, *, known: _Known, believed: datetime, due: _Due, plan: FirePlan, now: datetime
    ) -> list[Fire] | None:
        """The unit: None where another worker decides, or the schedule is no longer what it was."""
        schedule = known.schedule
        if not schedule_rows.claim_occurrences(
            connection, schedule.name, believed=believed, updated_at=known.updated_at, until=due.until
        ):
            return None
        moments = [one.due_at for one in (*([due.lost] if due.lost else []), *due.occurrences)]
        settled = fire_rows.decided_among(connection, schedule.name, moments)
        decisions = decide(
            schedule,
            [one for one in due.occurrences if one.due_at not in settled],
            now=now,
            open_batches=fire_rows.open_batches(connection, schedule.name),
            queued=fire_rows.waiting_fire(connection, schedule.name) is not None,
            refusal=plan.refusal,
        )
        if due.lost is not None and due.lost.due_at not in settled:
            looked_from = due.occurrences[0].due_at if due.occurrences else due.until
            decisions = [missed_before(due.lost, until=looked_from), *decisions]
        return [
            carry_out(connection, schedule, decided, plan=plan, now=now, speed=self._speed)
            for decided in condensed(decisions)
        ]

    # --- what waited -----------------------------------------------------------------------------------------------

    async def _begin_waiting(self, known: _Known, now: datetime) -> None:
        """Let the fire that waits begin, once nothing it waits for is open, and no blackout is in the way."""
        schedule = known.schedule
        still_open = await self._store.read(partial(fire_rows.open_batches, schedule=schedule.name))
        if still_open or in_blackout(schedule, now):
            return
        plan = await self._plan(known)
        if plan is None:
            return
        fire = await self._store.write(partial(self._begun, schedule=schedule, plan=plan, now=now))
        if fire is not None:
            self._tell(fire)

    def _begun(self, connection: Any, *, schedule: Schedule, plan: FirePlan, now: datetime) -> Fire | None:
        record = schedule_rows.lock_schedule(connection, schedule.name)
        waited = fire_rows.waiting_fire(connection, schedule.name)
        if waited is None or record.paused_at is not None or fire_rows.open_batches(connection, schedule.name):
            return None
        return begin_waiting(connection, schedule, waited, plan=plan, now=now, speed=self._speed)

    def _tell(self, fire: Fire, *, lag: float | None = None) -> None:
        said = {"schedule": fire.schedule, "due": fire.due_at.isoformat(), "decision": fire.decision.value}
        logger.info("a schedule was due", **said, batch=fire.batch_id or "-", reason=fire.reason)
        if fire.decision is FireDecision.FIRED:
            self._fired()
        self._told(fire.schedule, fire.decision, None if lag is None else timedelta(seconds=lag))
