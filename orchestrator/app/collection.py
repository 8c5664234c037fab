"""Collects what earlier processes left: cancels their open batches, drives them to closed, tears sessions down."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from orchestrator.app.batches import COLLECTED, BatchView, cancel_leftovers, open_batches, view_batch
from orchestrator.app.graph import Worker
from orchestrator.domain.session import Session, SessionStatus, Teardown
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


async def collect(worker: Worker) -> None:
    """Cancel every open batch and drive it to closed; returns when no session is left to tear down."""
    left = await cancel_leftovers(worker, reason=COLLECTED)
    await worker.durable.launch()
    await asyncio.gather(*(worker.durable.run(view.batch.batch_id) for view in left))
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
    if session.status in {SessionStatus.SENT, SessionStatus.LOST}:
        return "look for it by its mark; stop and delete what is found"
    parts = []
    if session.session_end.state is not Teardown.CONFIRMED:
        over = now >= session.ends_at
        parts.append(f"its bound has passed ({session.ends_by})" if over else "stop the session")
    if session.room_end.state is not Teardown.CONFIRMED:
        parts.append("empty and delete the room" if session.room_url else "wait for the room's expiry")
    return "; ".join(parts)
