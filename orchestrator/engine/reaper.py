"""Tears down what is condemned, when its grace is over, whoever condemned it and whether or not it is still driven.

Once a second it claims what will be due before the next look, so that a session is stopped on time, not a tick later.
Its claim is an `UPDATE ... RETURNING`: a session is worked on by one reaper at a time, and again if that one died.
While the state cannot be written nothing can be claimed or recorded; then it works from what can be read and
remembered, and all of it is done once more, and recorded, when the state is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.errors import OrchestratorError, RemoteError, StateUnusable
from orchestrator.domain.retry import backoff_seconds
from orchestrator.domain.session import SETTLED, End, Session, SessionStatus, Teardown
from orchestrator.engine.lookup import SHOWN_WITHIN, StartLookup
from orchestrator.engine.remotes import Remotes
from orchestrator.engine.teardown import Ends, TeardownCrew
from orchestrator.plans.pools import pool_from_document
from orchestrator.store import claims
from orchestrator.store import pools as pool_rows
from orchestrator.store import sessions as session_rows
from orchestrator.store.database import Store

REAP_EVERY: Final = 1.0
CLAIM_SECONDS: Final = 150.0  # longer than any one try can take
CLAIM_PATIENCE: Final = 2.0  # a state that does not answer within this is worked beside
CLAIM_MOST: Final = 1000  # what one bulk delete takes
MOMENTS: Final = timedelta(seconds=0.3)
LOOKUP_SECONDS: Final = 180.0
LONGEST_RETRY: Final = 30.0
NEVER_SENT: Final = "its start was never sent"


class Reaper:
    """One per process. `changed` hears every session whose teardown moved; `exclusive` tells a batch's plan setting.

    `hurry` is set by whoever condemned many and cannot wait for the next second. `doomed` shows the sessions that are
    condemned in memory only, while the state cannot be written.
    """

    def __init__(
        self,
        *,
        store: Store,
        remotes: Remotes,
        clock: Clock,
        speed: float,
        exclusive: Callable[[str], bool],
        changed: Callable[[Session], None],
        unrecorded: Callable[[Session], None],
        doomed: Callable[[], Collection[Session]],
        hurry: asyncio.Event,
        hurried: Callable[[], bool],
        worker_id: Callable[[], str],
    ) -> None:
        self._worker_id = worker_id
        self._store = store
        self._remotes = remotes
        self._clock = clock
        self._speed = speed
        self._exclusive = exclusive
        self._changed = changed
        self._note_unrecorded = unrecorded
        self._claims_lost = False  # a round could not record: its claims are void
        self._doomed = doomed
        self._hurry = hurry
        self._crew = TeardownCrew(remotes=remotes, hurried=hurried, speed=speed)
        self._lookup = StartLookup(remotes=remotes, read=store.read, shared=store.shared, worker_id=worker_id)
        self._tries: dict[str, int] = {}
        self._unrecorded: dict[str, datetime | None] = {}  # torn down beside the state: when to try again, None: done

    async def run(self) -> None:
        """Reap until cancelled; each round runs beside the next, so that a slow remote does not hold up the others."""
        await self._release()
        async with asyncio.TaskGroup() as rounds:
            while True:
                for work in await self._work_or_nothing():
                    rounds.create_task(self._round(work), name="tear down")
                await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(REAP_EVERY / self._speed):
                await self._hurry.wait()
        except TimeoutError:
            pass
        self._hurry.clear()

    async def _release(self) -> None:
        """Take over at once what a dead process had claimed; where that cannot be written, its claims run out."""
        try:
            await self._store.write(partial(claims.release_claims, worker_id=self._own))
        except StateUnusable as error:
            logger.error("teardown waits for the claims of an earlier process", error=str(error))

    async def _work_or_nothing(self) -> list[Awaitable[None]]:
        try:
            return await self._work()
        except Exception:  # noqa: BLE001  the supervisor: a defect in one look must not stop all that follow
            logger.exception("a look for what is to be torn down met a defect")
            return []

    async def _work(self) -> list[Awaitable[None]]:
        """What there is to do now, ready to be awaited.

        A claim of nothing writes nothing, so it passes on a full disk too: then `doomed` knows what is to be done.
        """
        now, work = self._clock.now(), list[Awaitable[None]]()
        claimed = await self._claimed(now)
        work += [self._when_due(together) for together in _together(claimed or [], within=MOMENTS / self._speed)]
        if claimed is None or self._doomed():
            unclaimed = await self._unclaimed(now)
            if unclaimed:
                work.append(self._crew.tear_down(unclaimed, now=now, tell=self._remember))
        return work

    async def _claimed(self, now: datetime) -> list[Session] | None:
        """What this reaper may tear down and record; None where the state does not take the claim in time."""
        try:
            async with asyncio.timeout(CLAIM_PATIENCE):
                claimed = await self._store.write(partial(self._claim, now))
        except (StateUnusable, TimeoutError):
            self._claims_lost = True  # a claim that was too late for us may have been taken all the same
            return None
        self._claims_lost = False
        return claimed

    def _claim(self, now: datetime, connection: Any) -> list[Session]:
        if self._claims_lost:
            claims.release_claims(connection, worker_id=self._own)
        until = now + timedelta(seconds=CLAIM_SECONDS)
        ahead = timedelta(seconds=REAP_EVERY / self._speed)
        return claims.claim_due(connection, now=now + ahead, until=until, most=CLAIM_MOST, worker_id=self._own)

    @property
    def _own(self) -> str | None:
        """Whose sessions this reaper takes, beside nobody's; all where there is no other."""
        return self._worker_id() if self._store.shared else None

    async def _round(self, work: Awaitable[None]) -> None:
        """One round never ends the reaper: what it could not record is claimed again when its claim has run out."""
        try:
            await work
        except* OrchestratorError as errors:
            self._claims_lost = True
            logger.error("a round of teardown could not be recorded", error=str(errors.exceptions[0]))
        except* Exception as defects:  # noqa: BLE001  the supervisor: a defect in one must not stop all others
            logger.opt(exception=defects).error("a round of teardown met a defect")

    async def _when_due(self, together: Sequence[Session]) -> None:
        due = max(_due_at(session) for session in together)
        wait = (due - self._clock.now()).total_seconds()
        if wait > 0:
            await self._clock.sleep(wait)
        await self._tear_down(together)

    async def _tear_down(self, claimed: Sequence[Session]) -> None:
        alive = [session for session in claimed if session.status is SessionStatus.ALIVE]
        unanswered = [session for session in claimed if session.status is not SessionStatus.ALIVE]
        async with asyncio.TaskGroup() as work:
            for session in unanswered:
                work.create_task(self._unanswered(session))
            if alive:
                now = self._clock.now()
                await self._crew.tear_down(alive, now=now, tell=self._record, witness=self._witnessed)

    async def _witnessed(self, session: Session) -> Session:
        """Write down which key was shown the room, before that key deletes it: after a crash only its 404 is proof.

        Mostly that was done when its bot was seen.
        """
        if session.room_url is None or session.room_end.state in SETTLED:
            return session
        try:
            client = await self._remotes.daily_for(session.room_url)
        except RemoteError:
            return session
        if client is None or client.fingerprint == session.room_seen_by:
            return session
        seen = partial(session_rows.record_room_seen, nonce=session.nonce, by=client.fingerprint)
        try:
            return await self._store.write(seen)
        except StateUnusable:
            return session  # nothing can be recorded now, and teardown does not wait for that

    # --- while the state cannot be written -------------------------------------------------------------------------

    async def _unclaimed(self, now: datetime) -> list[Session]:
        """What is condemned, by the rows that can still be read and by memory, and was not torn down meanwhile."""
        try:
            rows = await self._store.read(partial(session_rows.list_sessions, unsettled=True))
        except StateUnusable:
            rows = []
        condemned = {row.nonce: row for row in rows if row.teardown_from is not None and row.teardown_from <= now}
        condemned |= {session.nonce: session for session in self._doomed()}
        return [session for session in condemned.values() if self._due_unclaimed(session, now)]

    def _due_unclaimed(self, session: Session, now: datetime) -> bool:
        if session.status is not SessionStatus.ALIVE or session.torn_down:
            return False
        again_at = self._unrecorded.setdefault(session.nonce, now)
        if again_at is None or again_at > now:
            return False
        self._unrecorded[session.nonce] = now + timedelta(seconds=CLAIM_SECONDS)
        return True

    async def _remember(self, ends: Ends) -> None:
        if not ends.whole:
            return
        session = replace(ends.session, session_end=ends.session_end, room_end=ends.room_end)
        self._unrecorded[session.nonce] = None if session.torn_down else self._again_at(session.nonce)
        self._note_unrecorded(session)

    # --- recording -------------------------------------------------------------------------------------------------

    async def _record(self, ends: Ends) -> None:
        nonce = ends.session.nonce
        again_at = self._again_at(nonce) if ends.whole else self._clock.now() + timedelta(seconds=CLAIM_SECONDS)
        unit = partial(
            session_rows.record_ends,
            nonce=nonce,
            session_end=ends.session_end,
            room_end=ends.room_end,
            again_at=again_at,
        )
        session = await self._store.write(unit)
        if session.torn_down:
            self._tries.pop(nonce, None)
        elif ends.whole:
            logger.info(
                "teardown goes on", session=nonce, session_end=session.session_end.how, room_end=session.room_end.how
            )
        self._changed(session)

    def _again_at(self, nonce: str) -> datetime:
        self._tries[nonce] = self._tries.get(nonce, 0) + 1
        seconds = backoff_seconds(self._tries[nonce], longest=LONGEST_RETRY)
        return self._clock.now() + timedelta(seconds=seconds / self._speed)

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
            found = await self._lookup.find(session, exclusive=await self._nobody_else(session))
            if found is not None and (found.whole or over or self._shown(session)):
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
        if not over:
            await self._record(_looking(session))
        else:
            await self._record_unfound(session)

    async def _nobody_else(self, session: Session) -> bool:
        """Whether nobody else starts the session's agent, by the plan of its batch or the definition of its pool."""
        if session.batch_id or session.pool is None:
            return self._exclusive(session.batch_id)
        pool = await self._store.read(partial(pool_rows.find_pool, name=session.pool))
        try:
            return pool is not None and pool_from_document(pool.document).agent.exclusive
        except StateUnusable:
            return False  # a definition that cannot be read proves nothing

    def _shown(self, session: Session) -> bool:
        """Whether what presence does not show by now it never will."""
        shown_by = (session.sent_at or session.intended_at) + timedelta(seconds=SHOWN_WITHIN / self._speed)
        return self._clock.now() >= shown_by

    async def _record_unfound(self, session: Session) -> None:
        """Looked for long enough: what it may have made, or may make yet, is named with its bounds."""
        lost = f"its start answer was lost and {self._lookup.found_nothing(session)}; if it exists, it is ended by"
        session_end = End(state=Teardown.BOUNDED, how=f"{lost} {session.ends_by}", at=session.ends_at)
        room_end = End(state=Teardown.BOUNDED, how=f"{lost} its expiry", at=session.room_expires_at)
        if await self._lookup.accounted_for(session):
            note = "every live session of the agent at Pipecat Cloud is another's"
            unit = partial(session_rows.record_status, nonce=session.nonce, status=SessionStatus.UNFOUND, note=note)
            session = await self._store.write(unit)
        await self._record(Ends(session=session, session_end=session_end, room_end=room_end))

    def _lookup_ends(self, session: Session) -> datetime:
        return (session.sent_at or session.intended_at) + timedelta(seconds=LOOKUP_SECONDS / self._speed)


def _together(claimed: Sequence[Session], *, within: timedelta) -> list[list[Session]]:
    """What one poll showed to be over was condemned within moments: stopped together, its rooms go in one request."""
    groups: list[list[Session]] = []
    for session in sorted(claimed, key=_due_at):
        if groups and _due_at(session) - _due_at(groups[-1][0]) <= within:
            groups[-1].append(session)
        else:
            groups.append([session])
    return groups


def _due_at(session: Session) -> datetime:
    return session.teardown_from or session.intended_at


def _looking(session: Session) -> Ends:
    looking = End(how="its start answer was lost; looking for it")
    return Ends(session=session, session_end=looking, room_end=looking)
