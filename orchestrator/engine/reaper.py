"""Tears down what is condemned, once a second, whoever condemned it and whether or not its batch is still driven.

Its claim is an `UPDATE ... RETURNING`: a session is worked on by one reaper at a time, and again if that one died.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.errors import OrchestratorError, StateUnusable
from orchestrator.domain.session import End, Session, SessionStatus, Teardown
from orchestrator.engine.lookup import StartLookup
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.teardown import Ends, TeardownCrew
from orchestrator.store import sessions as session_rows
from orchestrator.store.database import Store

REAP_EVERY: Final = 1.0
CLAIM_SECONDS: Final = 150.0  # longer than any one try can take
CLAIM_MOST: Final = 1000  # what one bulk delete takes
LOOKUP_SECONDS: Final = 180.0
FIRST_RETRY: Final = 1.0
LONGEST_RETRY: Final = 30.0
NEVER_SENT: Final = "its start was never sent"


class Reaper:
    """One per process. `changed` hears every session whose teardown moved; `exclusive` tells a batch's plan setting."""

    def __init__(
        self,
        *,
        store: Store,
        remotes: Remotes,
        clock: Clock,
        speed: float,
        exclusive: Callable[[str], bool],
        changed: Callable[[Session], None],
    ) -> None:
        self._store = store
        self._remotes = remotes
        self._clock = clock
        self._speed = speed
        self._exclusive = exclusive
        self._changed = changed
        self._crew = TeardownCrew(remotes=remotes)
        self._lookup = StartLookup(remotes=remotes, store=store)
        self._tries: dict[str, int] = {}

    async def run(self) -> None:
        """Reap until cancelled; each round runs beside the next, so that a slow remote does not hold up the others."""
        await self._release()
        async with asyncio.TaskGroup() as rounds:
            while True:
                claimed = await self._claim()
                if claimed:
                    rounds.create_task(self._round(claimed), name="tear down")
                await self._clock.sleep(REAP_EVERY / self._speed)

    async def _release(self) -> None:
        """Take over at once what a dead process had claimed; where that cannot be written, its claims run out."""
        try:
            await self._store.write(session_rows.release_claims)
        except StateUnusable as error:
            logger.error("teardown waits for the claims of an earlier process", error=str(error))

    async def _claim(self) -> list[Session]:
        now = self._clock.now()
        until = now + timedelta(seconds=CLAIM_SECONDS)
        try:
            return await self._store.write(partial(session_rows.claim_due, now=now, until=until, most=CLAIM_MOST))
        except StateUnusable as error:
            logger.error("teardown waits for the state to be writable", error=str(error))
            return []

    async def _round(self, claimed: Sequence[Session]) -> None:
        """One round never ends the reaper: what it could not record is claimed again when its claim has run out."""
        try:
            await self._tear_down(claimed)
        except OrchestratorError as error:
            logger.error("a round of teardown could not be recorded", error=str(error))
        except Exception:  # noqa: BLE001  the supervisor: a defect in one teardown must not stop all others
            logger.exception("a round of teardown met a defect")

    async def _tear_down(self, claimed: Sequence[Session]) -> None:
        known = [session for session in claimed if session.status is SessionStatus.ALIVE]
        unanswered = [session for session in claimed if session.status is not SessionStatus.ALIVE]
        ends = await self._crew.tear_down(known, now=self._clock.now()) if known else []
        await asyncio.gather(*(self._record(end) for end in ends), *(self._unanswered(one) for one in unanswered))

    async def _record(self, ends: Ends) -> None:
        nonce = ends.session.nonce
        self._tries[nonce] = self._tries.get(nonce, 0) + 1
        unit = partial(
            session_rows.record_ends,
            nonce=nonce,
            session_end=ends.session_end,
            room_end=ends.room_end,
            again_at=self._clock.now() + self._backoff(nonce),
        )
        session = await self._store.write(unit)
        if session.torn_down:
            self._tries.pop(nonce, None)
        else:
            logger.info(
                "teardown goes on", session=nonce, session_end=session.session_end.how, room_end=session.room_end.how
            )
        self._changed(session)

    def _backoff(self, nonce: str) -> timedelta:
        seconds = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(self._tries[nonce] - 1, 10))
        return timedelta(seconds=seconds / self._speed)

    async def _unanswered(self, session: Session) -> None:
        """A condemned session whose start was never answered: never sent, still under way, or lost."""
        if session.status is SessionStatus.INTENT:
            unit = partial(
                session_rows.record_status, nonce=session.nonce, status=SessionStatus.REFUSED, note=NEVER_SENT
            )
            self._changed(await self._store.write(unit))
        elif session.nonce in self._remotes.starting:
            await self._record(Ends(session=session, session_end=End(how="its start is under way"), room_end=End()))
        else:
            await self._look_for(session)

    async def _look_for(self, session: Session) -> None:
        over = self._clock.now() >= self._lookup_ends(session)
        async with self._remotes.adopting:
            found = await self._lookup.find(session, exclusive=self._exclusive(session.batch_id))
            if found is not None and (found.whole or over):
                answer = partial(
                    session_rows.record_answer,
                    nonce=session.nonce,
                    at=self._clock.now(),
                    session_id=found.session_id,
                    room_url=found.room_url,
                    meeting_token=None,
                )
                known = await self._store.write(answer)
                await self._tear_down([known])  # found, and condemned: now with what is needed to tear it down
                return
        await self._record(await self._unfound(session) if over else _looking(session))

    async def _unfound(self, session: Session) -> Ends:
        lost = "its start answer was lost and nothing bears its mark"
        room_end = End(
            state=Teardown.BOUNDED, how=f"{lost}; if it exists, it is ended by its expiry", at=session.room_expires_at
        )
        if await self._lookup.accounted_for(session):
            how = f"{lost}; every live session of the agent at Pipecat Cloud is another's"
            gone = End(state=Teardown.CONFIRMED, how=how, at=self._clock.now())
            return Ends(session=session, session_end=gone, room_end=room_end)
        how = f"{lost}; if it exists, it is ended by {session.ends_by}"
        bound = End(state=Teardown.BOUNDED, how=how, at=session.ends_at)
        return Ends(session=session, session_end=bound, room_end=room_end)

    def _lookup_ends(self, session: Session) -> datetime:
        return (session.sent_at or session.intended_at) + timedelta(seconds=LOOKUP_SECONDS / self._speed)


def _looking(session: Session) -> Ends:
    looking = End(how="its start answer was lost; looking for it")
    return Ends(session=session, session_end=looking, room_end=looking)
