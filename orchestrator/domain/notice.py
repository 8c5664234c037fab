"""A notice: word to somebody outside that a batch closed. Who is told is in the plan, why is decided as it closes.

A notice is sent at least once: whoever sent it may die before that is written down. Its id never changes, so that a
receiver can drop what it was told already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from orchestrator.domain.verdict import Outcome

MOST_TRIES: Final = 10
FIRST_WAIT: Final = 2.0  # seconds after the first try that failed
GROWTH: Final = 4.0
LONGEST_WAIT: Final = 6 * 3600.0  # with MOST_TRIES: about 15 hours from the first try to the last
MOST_SPREAD: Final = 0.25  # of a wait, so that many that failed together are not tried together
LONGEST_HOLD: Final = 24 * 3600.0  # seconds; a receiver that asks for more is asked sooner all the same
UNSENDABLE_LIFE: Final = timedelta(days=7)  # of a notice whose variables no process has


class NoticeKind(StrEnum):
    """What is posted: Slack's own message, or our signed document."""

    SLACK = "slack"
    WEBHOOK = "webhook"


class Occasion(StrEnum):
    """When a plan wants a notice; `occasions` says which a batch is."""

    FAILURE = "failure"
    RECOVERY = "recovery"
    CHANGE = "change"
    ALWAYS = "always"


class Inclusion(StrEnum):
    """What a notice tells beside numbers, when its plan asks for it."""

    REASONS = "reasons"
    LINKS = "links"


class BatchEnd(StrEnum):
    """What a closed batch came to: its outcome, or that somebody cancelled it."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    CANCELLED = "cancelled"


class NoticeStatus(StrEnum):
    """How a notice stands."""

    WAITING = "waiting"
    SENT = "sent"
    GIVEN_UP = "given_up"


class DeliveryResult(StrEnum):
    """What one try came to: taken, to be tried again, refused for good, or not to be tried by this process at all."""

    SENT = "sent"
    FAILED = "failed"
    REFUSED = "refused"
    UNSENDABLE = "unsendable"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationSpec:
    """One entry of a plan's `notifications`. Addresses and secrets are variables' names, never what they hold."""

    kind: NoticeKind
    url_variable: str
    secret_variable: str | None = None
    on: tuple[Occasion, ...] = (Occasion.FAILURE, Occasion.RECOVERY)
    include: tuple[Inclusion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One notice of one batch. `position` is that of its entry in the plan; `end` what the batch came to.

    `before` is what the batch of the same name that closed before it came to, `before_batch_id` that batch; None where
    there was none. `tries` counts those begun. `last_error` holds no address and no secret.
    """

    notice_id: str
    batch_id: str
    position: int
    kind: NoticeKind
    why: tuple[Occasion, ...]
    end: BatchEnd
    created_at: datetime
    before: BatchEnd | None = None
    before_batch_id: str | None = None
    tries: int = 0
    next_try_at: datetime | None = None
    sent_at: datetime | None = None
    given_up_at: datetime | None = None
    last_error: str = ""

    @property
    def status(self) -> NoticeStatus:
        """How it stands."""
        if self.sent_at is not None:
            return NoticeStatus.SENT
        return NoticeStatus.WAITING if self.given_up_at is None else NoticeStatus.GIVEN_UP


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One try. `trouble` in words without an address or a secret; `retry_after` in seconds, as the receiver asked."""

    result: DeliveryResult
    trouble: str = ""
    retry_after: float | None = None


def end_of(outcome: Outcome, *, cancelled: bool) -> BatchEnd:
    """What a batch came to: one that was cancelled says nothing, however its runs came out."""
    return BatchEnd.CANCELLED if cancelled else BatchEnd(outcome.value)


def occasions(end: BatchEnd, before: BatchEnd | None) -> frozenset[Occasion]:
    """Which occasions a batch is that came to `end` after one of its name came to `before`.

    `failure`: anything but passed. `recovery`: passed, and the one before had not. `change`: other than the one before.
    The first of a name is compared with a pass: nobody is told that nothing is wrong.
    """
    earlier = BatchEnd.PASSED if before is None else before
    found = {Occasion.ALWAYS}
    if end is not BatchEnd.PASSED:
        found.add(Occasion.FAILURE)
    elif earlier is not BatchEnd.PASSED:
        found.add(Occasion.RECOVERY)
    if end is not earlier:
        found.add(Occasion.CHANGE)
    return frozenset(found)


def wanted(spec: NotificationSpec, found: Iterable[Occasion]) -> tuple[Occasion, ...]:
    """Those of the occasions that an entry of the plan asks for, in its order."""
    return tuple(one for one in spec.on if one in set(found))


def after_try(notice: Notice, delivery: Delivery, *, at: datetime, spread: float) -> Notice:
    """The notice after a try that was counted when it began; `spread` from 0 to 1 is chance, and lengthens waits."""
    if delivery.result is DeliveryResult.SENT:
        return replace(notice, sent_at=at, next_try_at=None, last_error="")
    told = replace(notice, last_error=delivery.trouble, next_try_at=None)
    if delivery.result is DeliveryResult.UNSENDABLE:
        if at - notice.created_at >= UNSENDABLE_LIFE:
            return replace(told, given_up_at=at)
        return replace(told, tries=notice.tries - 1, next_try_at=at)
    if delivery.result is DeliveryResult.REFUSED or notice.tries >= MOST_TRIES:
        return replace(told, given_up_at=at)
    wait = seconds_to_wait(notice.tries, retry_after=delivery.retry_after, spread=spread)
    return replace(told, next_try_at=at + timedelta(seconds=wait))


def seconds_to_wait(tries: int, *, retry_after: float | None, spread: float) -> float:
    """Seconds to the next try after so many (1 or more): growing, and never less than the receiver asked for."""
    own = min(LONGEST_WAIT, FIRST_WAIT * GROWTH ** (tries - 1)) * (1 + MOST_SPREAD * spread)
    return max(own, min(retry_after or 0.0, LONGEST_HOLD))
