"""The use case of a webhook from Cekura: the next poll of the batches it speaks of comes sooner, and that is all.

Nothing it says is believed, so one that is repeated, made up or late costs at most a poll that would have come anyway.
Cekura repeats none of what it sends after a result is finished, and shows no log of it: polling never relies on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from loguru import logger

from orchestrator.clients.cekura_webhook import PRE_TRIGGER, Unreadable, WebhookNews, read_webhook, verify
from orchestrator.clock import Clock
from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.secret import ApiKey
from orchestrator.store import batches as batch_rows
from orchestrator.store.database import Store


class Verdict(StrEnum):
    """What became of a webhook; a label of a metric."""

    ACCEPTED = "accepted"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What was made of one webhook, and why; `batch_ids` are the batches whose next poll comes sooner."""

    verdict: Verdict
    reason: str
    batch_ids: tuple[str, ...] = ()


Counted = Callable[[Receipt], None]


async def receive(
    store: Store,
    clock: Clock,
    *,
    secret: ApiKey,
    presented: str | None,
    body: bytes,
    counted: Counted | None = None,
) -> Receipt:
    """Take one webhook; never raises for what it holds, nor for a state that cannot be written.

    `presented` is the header that must hold the secret; a webhook without it is refused unread. `counted` hears every
    receipt.
    """
    receipt = await _receive(store, clock, body) if verify(secret, presented) else _REFUSED
    logger.debug("a webhook came", verdict=receipt.verdict.value, reason=receipt.reason)
    if counted is not None:
        counted(receipt)
    return receipt


async def _receive(store: Store, clock: Clock, body: bytes) -> Receipt:
    news = read_webhook(body)
    if isinstance(news, Unreadable):
        return _ignored(news.reason)
    if news.event == PRE_TRIGGER:
        return _ignored("its calls have not begun")
    if news.cekura_result_id is None and not news.cekura_run_ids:
        return _ignored("it names neither a result nor a run")
    try:
        poked = await store.write(_poke(news, clock))
    except StateUnusable as error:
        logger.warning("a webhook could not be noted; polls go on without it", error=str(error))
        return _ignored("the state cannot be written")
    if not poked:
        return _ignored("no open batch holds its result or runs")
    return Receipt(verdict=Verdict.ACCEPTED, reason="the next poll comes sooner", batch_ids=tuple(poked))


def _poke(news: WebhookNews, clock: Clock) -> partial[list[str]]:
    return partial(
        batch_rows.record_poked,
        cekura_result_id=news.cekura_result_id,
        cekura_run_ids=news.cekura_run_ids,
        at=clock.now(),
    )


def _ignored(reason: str) -> Receipt:
    return Receipt(verdict=Verdict.IGNORED, reason=reason)


_REFUSED = Receipt(verdict=Verdict.REFUSED, reason="it does not carry the secret")
