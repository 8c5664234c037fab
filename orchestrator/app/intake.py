"""Takes in what others ask of the service: reads what they define, begins a batch once, commits a wish to cancel.

A plan that came over HTTP may be a stranger's. It is read on a thread, for reading a large one takes seconds in which
batches are to be driven. Its templates never see a variable of the service's own: whoever may begin a batch chooses
where its sessions start, and would be sent our keys.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from orchestrator.app.preflight import check_keys, check_time_scale
from orchestrator.app.preview import plan_preview
from orchestrator.app.schedules import fire_now
from orchestrator.app.selection import unable
from orchestrator.clock import Clock
from orchestrator.domain.batch import Batch, Origin
from orchestrator.domain.errors import Conflict
from orchestrator.domain.pool import PoolSpec
from orchestrator.domain.schedule import Fire, Overlap, Schedule
from orchestrator.engine.firing import Resolve
from orchestrator.plans import (
    LoadedPlan,
    new_batch,
    plan_from_data,
    plan_from_document,
    plan_from_text,
    pool_from_mapping,
    schedule_from_mapping,
)
from orchestrator.settings import Settings, variable_names
from orchestrator.store import batches as batch_rows
from orchestrator.store import intake as units
from orchestrator.store.database import Store

T = TypeVar("T")
PLANS_AT_ONCE: Final = 2  # each holds a thread for as long as it is read
TRIES: Final = 3  # an id or a key that another worker took at the same moment
KEY_SPACE: Final = "api:"  # keeps the keys of callers apart from those of schedules' fires
PREVIEW_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanText:
    """A plan as it was sent: YAML in `text`, or else JSON in `data`. `name` overrides the plan's own."""

    text: str | None = None
    data: Mapping[str, Any] | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenIn:
    """A batch, whether it was created now, and what a person should know of it."""

    batch: Batch
    created: bool
    warnings: tuple[str, ...]


class Intake:
    """Begins and cancels batches for the callers of a service; `wake` is called when a batch waits for a worker.

    `speed` is that of the worker beside it: a schedule that somebody fires runs as when it fires by itself. `resolve`
    asks Cekura what a plan selects.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        settings: Settings,
        variables: Mapping[str, str],
        wake: Callable[[], None] = lambda: None,
        speed: float = 1.0,
        resolve: Resolve = unable,
    ) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._variables = variables_for_plans(variables)
        self._wake = wake
        self._speed = speed
        self._resolve = resolve
        self._reading = asyncio.Semaphore(PLANS_AT_ONCE)

    async def read(self, plan: PlanText) -> LoadedPlan:
        """Read and check a plan; InvalidPlan carries every problem."""
        return await self._on_a_thread(partial(self._read, plan))

    async def preview(self, plan: PlanText) -> dict[str, Any]:
        """What a plan would do, as `orchestrator plan --json` says it; runs beyond a megabyte are left out."""
        loaded = await self._resolve(await self.read(plan))
        return await self._on_a_thread(partial(plan_preview, loaded, most_bytes=PREVIEW_BYTES))

    async def begin(self, plan: PlanText, *, actor: str, key: str | None = None, speed: float = 1.0) -> TakenIn:
        """Commit a batch that waits for a worker, or find the one that was begun with this key.

        InvalidPlan, InvalidSettings where it could not run, RemoteError where Cekura does not say what it selects;
        Conflict where the key stands for another plan.
        """
        loaded = await self.read(plan)
        if speed != 1:
            check_time_scale(self._settings, agent_url=loaded.plan.agent.url, asked_by="speed")
        earlier = None if loaded.plan.resolved else await self._begun(key)
        if earlier is None:
            loaded = await self._resolve(loaded)
        notes = check_keys(loaded.plan, self._settings)
        batch, created = (earlier, False) if earlier else await self._commit(loaded, actor=actor, key=key, speed=speed)
        if created:
            self._wake()
        elif (batch.digest, batch.speed) != (loaded.plan.digest, speed):
            error = Conflict(f"the key was given before, with another plan: it stands for batch {batch.batch_id}")
            error.next_step = "Send a new key with a new plan; the same key and plan answer with the same batch."
            raise error
        return TakenIn(batch=batch, created=created, warnings=(*loaded.warnings, *notes))

    async def read_schedule(self, data: Mapping[str, Any]) -> Schedule:
        """Read and check a schedule with its plan; InvalidPlan carries every problem, InvalidSettings a missing key."""

        def read() -> Schedule:
            limit = self._settings.data_message_limit
            schedule = schedule_from_mapping(data, environ=self._variables, data_message_limit=limit)
            check_keys(plan_from_document(schedule.plan_document), self._settings)
            return schedule

        return await self._on_a_thread(read)

    async def read_pool(self, data: Mapping[str, Any]) -> PoolSpec:
        """Read and check a pool; InvalidPlan carries every problem."""
        return await self._on_a_thread(partial(pool_from_mapping, data))

    async def fire(self, schedule: str, *, actor: str, overlap: Overlap | None, key: str | None) -> tuple[Fire, bool]:
        """Fire a schedule once, or find the fire that was asked for with this key, and False.

        Conflict where its plan cannot be carried out, or it may not fire beside an open batch of its own.
        """
        fire, new = await fire_now(
            self._store,
            schedule,
            clock=self._clock,
            environ=self._variables,
            settings=self._settings,
            resolve=self._resolve,
            actor=actor,
            overlap=overlap,
            client_key=None if key is None else f"{KEY_SPACE}{key}",
            speed=self._speed,
        )
        if new and fire.batch_id is not None:
            self._wake()
        return fire, new

    async def cancel(self, batch_id: str, *, actor: str, reason: str, drains: bool) -> Batch:
        """Commit the wish to cancel; whoever drives the batch sees it within a second. Conflict when it is closed."""
        wish = partial(
            units.take_in_cancel, batch_id=batch_id, at=self._clock.now(), reason=reason, drains=drains, actor=actor
        )
        return await self._store.write(wish)

    async def _begun(self, key: str | None) -> Batch | None:
        """The batch that was begun with this key: it stands, whatever Cekura's list of scenarios has become."""
        if key is None:
            return None
        return await self._store.read(partial(batch_rows.find_by_client_key, client_key=f"{KEY_SPACE}{key}"))

    async def _commit(self, loaded: LoadedPlan, *, actor: str, key: str | None, speed: float) -> tuple[Batch, bool]:
        for left in reversed(range(TRIES)):
            batch, planned = new_batch(
                loaded,
                now=self._clock.now(),
                speed=speed,
                origin=Origin.API,
                client_key=None if key is None else f"{KEY_SPACE}{key}",
            )
            try:
                return await self._store.write(partial(units.take_in_batch, batch=batch, planned=planned, actor=actor))
            except Conflict:
                if not left:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    def _read(self, plan: PlanText) -> LoadedPlan:
        limit = self._settings.data_message_limit
        if plan.text is not None:
            overrides = [] if plan.name is None else [f"name={json.dumps(plan.name)}"]
            return plan_from_text(plan.text, overrides=overrides, environ=self._variables, data_message_limit=limit)
        named = {} if plan.name is None else {"name": plan.name}
        return plan_from_data({**(plan.data or {}), **named}, environ=self._variables, data_message_limit=limit)

    async def _on_a_thread(self, work: Callable[[], T]) -> T:
        async with self._reading:
            return await asyncio.to_thread(work)


def variables_for_plans(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without what the service itself reads: its keys, and the files that hold them."""
    own = {one for name in variable_names() for one in (name, f"{name}_FILE")}
    return {name: value for name, value in environ.items() if name not in own}
