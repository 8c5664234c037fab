"""A rule that creates batches: when it is due, and what happens where two fires would overlap or one was missed.

When an expression is due is `plans/calendar`'s to say; what to do about each occurrence is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Overlap(StrEnum):
    """What a fire does while the batch of an earlier one is still open."""

    SKIP = "skip"  # nothing: this occurrence is left out
    QUEUE = "queue"  # one waits until the earlier batch is closed; more than one are left out
    CANCEL = "cancel"  # the earlier batch is cancelled, and this one begins
    ALLOW = "allow"  # both run


class Missed(StrEnum):
    """What happens to occurrences that came due while no worker was there."""

    SKIP = "skip"
    ONE = "one"  # the latest of them, once
    ALL = "all"  # each of them, within the window


class FireDecision(StrEnum):
    """What became of one occurrence."""

    FIRED = "fired"
    QUEUED = "queued"  # waits for the batch of an earlier fire
    SKIPPED = "skipped"  # an earlier batch was still open
    MISSED = "missed"  # it came due while no worker was there, and is not made up for
    BLACKED_OUT = "blacked_out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blackout:
    """A time in which nothing fires: from `begins` until `ends` (UTC), or every week on `days` between two times.

    `days` count from Monday as 0; `daily_from` and `daily_until` are minutes of the schedule's own day.
    """

    begins: datetime | None = None
    ends: datetime | None = None
    days: tuple[int, ...] = ()
    daily_from: int = 0
    daily_until: int = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule: `cron` (five fields) or `every` so many seconds, in an IANA `timezone`.

    `plan_document` is the plan each fire executes. Durations are seconds: `jitter` spreads fires by up to so much after
    their moment, `window` is how old a missed fire may be.
    """

    name: str
    plan_document: Mapping[str, Any]
    cron: str | None
    every: float | None
    timezone: str
    jitter: float
    overlap: Overlap
    missed: Missed
    window: float
    blackouts: tuple[Blackout, ...]
