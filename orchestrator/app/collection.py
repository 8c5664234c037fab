"""Collects what earlier processes left: cancels their open batches, drives them to closed, tears sessions down.

What no row holds is looked for by its mark, so that a lost state file leaves nothing alive either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from orchestrator.app.batches import COLLECTED, BatchView, cancel_leftovers, open_batches, retire_warm, view_batch
from orchestrator.app.eviction import Eviction
from orchestrator.app.graph import Worker, place_of
from orchestrator.app.reading import open_reader, state_exists
from orchestrator.app.strays import StraySearch
from orchestrator.app.surroundings import Held, Surroundings
from orchestrator.clients.daily import DailyDomains
from orchestrator.clients.pipecat_account import PipecatCloudAccount
from orchestrator.clients.pipecat_cloud import PipecatCloudClient
from orchestrator.clock import SystemClock
from orchestrator.domain.plan import Plan
from orchestrator.domain.session import Session, SessionStatus, Teardown
from orchestrator.settings import Settings
from orchestrator.store import sessions as session_rows
from orchestrator.store.database import Store

LOOK_EVERY: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """Open batches, and every session that is neither confirmed gone nor bounded (of open batches or not)."""

    batches: tuple[BatchView, ...]
    sessions: tuple[Session, ...]

    @property
    def speed(self) -> float:
        """The slowest pace among the batches, for what they share."""
        return min((view.batch.speed for view in self.batches), default=1.0)

    @property
    def nothing(self) -> bool:
        """True when there is nothing to collect."""
        return not self.batches and not self.sessions


async def find_leftovers(store: Store) -> Leftovers:
    """What is open now; beside a driver, that is simply its work in hand."""
    batches = [await view_batch(store, batch.batch_id) for batch in await open_batches(store)]
    sessions = await store.read(partial(session_rows.list_sessions, unsettled=True))
    return Leftovers(batches=tuple(batches), sessions=tuple(one for one in sessions if not one.torn_down))


async def look_around(
    settings: Settings,
    *,
    store: Store | None = None,
    plan: Plan | None = None,
    driven: bool = False,
) -> Surroundings:
    """What lives where our keys reach, told apart by the rows of `store` (of the state, where None) and by our mark.

    It needs no key of Cekura's, and none of the others: without a key there is less to see.
    """
    clock = SystemClock()
    async with AsyncExitStack() as closings:

        def open_agent(name: str) -> PipecatCloudClient:
            client = PipecatCloudClient.open(settings, agent_name=name, clock=clock)
            closings.push_async_callback(client.aclose)
            return client

        daily = DailyDomains.open(settings, clock=clock)
        closings.push_async_callback(daily.aclose)
        account = PipecatCloudAccount.open(settings, clock=clock)
        if account is not None:
            closings.push_async_callback(account.aclose)
        place = place_of(settings)
        search = StraySearch(
            daily=daily, open_agent=open_agent, account=account, place=place, clock=clock, plan=plan, driven=driven
        )
        return await search.look(partial(_held, settings, store))


async def _held(settings: Settings, store: Store | None) -> Held:
    if store is not None:
        return Held.by(await store.read(session_rows.list_sessions))
    if not state_exists(settings):
        return Held()
    async with open_reader(settings) as reader:
        return Held.by(await reader.read(session_rows.list_sessions))


class Collection:
    """Ends what `leftovers` names and then every stray; `sessions` and `waiting` tell how that stands meanwhile."""

    def __init__(self, worker: Worker, settings: Settings, *, leftovers: Leftovers, plan: Plan | None) -> None:
        self._worker = worker
        self._settings = settings
        self._leftovers = leftovers
        self._plan = plan
        self._eviction: Eviction | None = None
        self.surroundings: Surroundings | None = None

    async def run(self) -> None:
        """Returns when nothing is left to tear down. The driving lock is held: nobody else starts anything here."""
        worker = self._worker
        if not self._leftovers.nothing:
            await collect(worker)
        plan = self._plan
        self.surroundings = await look_around(self._settings, store=worker.store, plan=plan)
        self._eviction = Eviction(remotes=worker.remotes, clock=worker.clock, found=self.surroundings, plan=plan)
        await self._eviction.run()

    async def sessions(self) -> tuple[Session, ...]:
        """What was left, rows and strays, as it stands now."""
        strays = self._eviction.sessions if self._eviction is not None else ()
        return (*await settled_since(self._worker.store, self._leftovers), *strays)

    async def waiting(self) -> list[Session]:
        """What is not ended yet."""
        rows = (await find_leftovers(self._worker.store)).sessions
        strays = self._eviction.sessions if self._eviction is not None else ()
        return [*rows, *(one for one in strays if not one.torn_down)]


async def collect(worker: Worker) -> None:
    """Cancel every open batch and drive it to closed, let go what waits in pools; returns when all is torn down."""
    left = await cancel_leftovers(worker, reason=COLLECTED)
    await retire_warm(worker, reason=COLLECTED)  # nobody else serves: `gc` is refused beside a worker
    await asyncio.gather(*(worker.dispatcher.run(view.batch.batch_id) for view in left))
    while (await find_leftovers(worker.store)).sessions:
        await worker.clock.sleep(LOOK_EVERY)


async def settled_since(store: Store, leftovers: Leftovers) -> Sequence[Session]:
    """The sessions of `leftovers` as they stand now."""
    nonces = [session.nonce for session in leftovers.sessions]
    return [await store.read(partial(session_rows.get_session, nonce=nonce)) for nonce in nonces]


def planned_teardown(session: Session, *, now: datetime) -> str:
    """What collecting would do with one session."""
    if session.status is SessionStatus.INTENT:
        return "nothing: its start was never sent"
    if session.status in {SessionStatus.SENT, SessionStatus.LOST, SessionStatus.UNFOUND}:
        return "look for it by its mark; stop and delete what is found"
    parts = []
    if session.session_end.state is not Teardown.CONFIRMED:
        over = now >= session.ends_at
        parts.append(f"its bound has passed ({session.ends_by})" if over else "stop the session")
    if session.room_end.state is not Teardown.CONFIRMED:
        parts.append("empty and delete the room" if session.room_url else "wait for the room's expiry")
    return "; ".join(parts)
