"""Sends notices: in every worker that serves, and by a command before it ends.

A claim is a conditional UPDATE, so that of many workers one makes each try. What a process claimed and did not settle,
because it died, is due again when its claim has run out, or at once where nobody else can be sending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from random import Random
from typing import Final

from loguru import logger

from orchestrator.clock import Clock
from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.notice import Delivery, DeliveryResult, Notice, NoticeStatus
from orchestrator.store import notices as notice_rows
from orchestrator.store.database import Store

LOOK_EVERY: Final = 1.0
CLAIM: Final = timedelta(seconds=60)  # longer than any one try can take
AT_ONCE: Final = 10
UNSENDABLE_REST: Final = 60.0  # seconds until a notice whose variables are not here is looked at again
MOST_NAMED: Final = 100
Send = Callable[[Notice], Awaitable[Delivery]]
Told = Callable[[str, str], None]


class Notifier:
    """One per process. `send` makes one try; `told` hears of each: the notice's kind, and `sent`, `failed`, `given_up`
    or `unsendable`.

    `given_up` are those that this process gave up.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        send: Send,
        random: Random,
        told: Told = lambda _kind, _result: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._send = send
        self._random = random
        self._told = told
        self._not_here: dict[str, float] = {}  # until when a notice that cannot be sent here is left to others
        self._unreadable = False
        self.given_up: list[Notice] = []

    async def run(self) -> None:
        """Look once a second until cancelled."""
        await self.take_over()
        while True:
            await self.look()
            await self._clock.sleep(LOOK_EVERY)

    async def take_over(self) -> None:
        """What a dead process was sending is due at once, where nobody else can be sending."""
        if not self._store.shared:
            try:
                await self._store.write(notice_rows.release_claims)
            except StateUnusable as error:
                logger.warning("notices wait for the claims of an earlier process", error=str(error))

    async def settle(self, *, seconds: float, batch_id: str | None = None) -> list[Notice]:
        """Send what is due, and try again, for so many seconds at most; those that are still to be sent then.

        `batch_id`: only that batch's are waited for and told.
        """
        await self.take_over()
        try:
            async with asyncio.timeout(seconds):
                await self._until_settled(self._clock.monotonic() + seconds, batch_id)
        except TimeoutError:
            pass
        return await self._waiting(batch_id)

    async def _until_settled(self, until: float, batch_id: str | None) -> None:
        while True:
            await self.look()
            own = [one for one in await self._waiting(batch_id) if one.notice_id not in self._not_here]
            due = min((one.next_try_at for one in own if one.next_try_at is not None), default=None)
            if due is None:
                return
            wait = max((due - self._clock.now()).total_seconds(), 0.05)
            if self._clock.monotonic() + wait > until:
                return
            await self._clock.sleep(wait)

    async def _waiting(self, batch_id: str | None) -> list[Notice]:
        return await self._store.read(partial(notice_rows.waiting_notices, limit=MOST_NAMED, batch_id=batch_id))

    async def look(self) -> None:
        """Send all that is due now; a state that cannot be used is told of once, and asked again at the next look."""
        try:
            while claimed := await self._claim():
                await asyncio.gather(*(self._try(notice) for notice in claimed))
            self._unreadable = False
        except StateUnusable as error:
            if not self._unreadable:
                logger.warning("no notice can be sent: the state cannot be used", error=str(error))
            self._unreadable = True

    async def _claim(self) -> list[Notice]:
        now, moment = self._clock.now(), self._clock.monotonic()
        self._not_here = {name: until for name, until in self._not_here.items() if until > moment}
        but = tuple(self._not_here)
        if not await self._store.read(partial(notice_rows.any_due, now=now, but=but)):
            return []
        return await self._store.write(partial(notice_rows.claim_due, now=now, lasts=CLAIM, most=AT_ONCE, but=but))

    async def _try(self, notice: Notice) -> None:
        try:
            delivery = await self._send(notice)
        except StateUnusable:
            raise
        except Exception as error:  # noqa: BLE001  the supervisor: a defect met by one notice must not stop the others
            logger.opt(exception=error).error("sending a notice met a defect", notice=notice.notice_id)
            delivery = Delivery(result=DeliveryResult.FAILED, trouble=f"a defect: {type(error).__name__}")
        if delivery.result is DeliveryResult.UNSENDABLE:
            self._not_here[notice.notice_id] = self._clock.monotonic() + UNSENDABLE_REST
        record = partial(notice_rows.record_delivery, claimed=notice, delivery=delivery, spread=self._random.random())
        self._tell(await self._store.write(partial(record, now=self._clock.now())), delivery)

    def _tell(self, notice: Notice, delivery: Delivery) -> None:
        about = {"notice": notice.notice_id, "batch": notice.batch_id, "kind": notice.kind.value}
        if notice.status is NoticeStatus.SENT:
            logger.info("a notice was sent", **about, tries=notice.tries)
        elif notice.status is NoticeStatus.GIVEN_UP:
            self.given_up.append(notice)
            logger.error("a notice was given up", **about, tries=notice.tries, error=notice.last_error)
        else:
            logger.warning("a notice was not sent; it is tried again", **about, error=notice.last_error)
        given_up = notice.status is NoticeStatus.GIVEN_UP
        self._told(notice.kind.value, NoticeStatus.GIVEN_UP.value if given_up else delivery.result.value)
