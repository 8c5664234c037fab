"""A rule that creates batches: when it is due, and what happens where two fires would overlap or one was missed.

When an expression is due is `plans/calendar`'s to say; what to do about each occurrence is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo

ON_TIME: Final = timedelta(seconds=60)  # decided later than this after its moment, a fire was missed


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
    REFUSED = "refused"  # its plan cannot be carried out as things are


class MadeBy(StrEnum):
    """Who made a schedule or a pool, and alone may change it."""

    CONFIG = "config"  # the service file
    API = "api"


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
    their moment, `window` is how old a missed fire may be. `paused`: whoever made it wants it to rest.
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
    paused: bool = False

    @property
    def zone(self) -> ZoneInfo:
        """Where its wall time is read."""
        return ZoneInfo(self.timezone)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRecord:
    """A schedule as it is kept: `document` is what `plans.schedule_document` wrote of it; times are UTC.

    Every occurrence up to `considered_until` was decided. `removed_at`: it is kept for the fires it had, and is gone.
    """

    name: str
    document: Mapping[str, Any]
    made_by: MadeBy
    created_at: datetime
    updated_at: datetime
    considered_until: datetime
    paused_at: datetime | None = None
    paused_by: str | None = None
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """What became of one occurrence. `due_at` is its moment, before any jitter; `manual`: a person asked for it."""

    fire_id: int
    schedule: str
    due_at: datetime
    decision: FireDecision
    reason: str
    decided_at: datetime
    batch_id: str | None
    manual: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """A moment of a schedule's rule (`due_at`), and when its fire begins (`begins_at`: later by its jitter)."""

    due_at: datetime
    begins_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What to do about one occurrence: `cancels` are the batches that make room for it."""

    due_at: datetime
    decision: FireDecision
    reason: str = ""
    cancels: tuple[str, ...] = ()


def fire_key(schedule: str, due_at: datetime) -> str:
    """The client key of a fire's batch: the same on every worker, so that no fire makes two."""
    return f"schedule:{schedule}:{due_at:%Y-%m-%dT%H:%M:%S}{f'.{due_at:%f}' if due_at.microsecond else ''}Z"


def in_blackout(schedule: Schedule, at: datetime) -> bool:
    """Whether nothing may fire at that moment."""
    local = at.astimezone(schedule.zone)
    minute = local.hour * 60 + local.minute
    return any(_covers(blackout, at, local.weekday(), minute) for blackout in schedule.blackouts)


def _covers(blackout: Blackout, at: datetime, day: int, minute: int) -> bool:
    if blackout.begins is not None and blackout.ends is not None:
        return blackout.begins <= at < blackout.ends
    return day in blackout.days and blackout.daily_from <= minute < blackout.daily_until


def decide(
    schedule: Schedule,
    due: Sequence[Occurrence],
    *,
    now: datetime,
    open_batches: Sequence[str],
    queued: bool,
    refusal: str = "",
) -> list[Decided]:
    """One decision for each occurrence of `due`, which come in order and have all begun by `now`.

    `open_batches` are the schedule's that are not closed, `queued` whether a fire waits for them. `refusal` says why
    its plan cannot be carried out as things are: then nothing fires, and nothing is cancelled for it.
    """
    left_out = {one.due_at: decided for one in due if (decided := _left_out(schedule, one, now)) is not None}
    wanted = [one for one in due if one.due_at not in left_out]
    if schedule.missed is Missed.ONE:
        wanted, stood_for = _one_for_all(wanted, now)
        left_out |= {decided.due_at: decided for decided in stood_for}
    if refusal:
        fires = [Decided(due_at=one.due_at, decision=FireDecision.REFUSED, reason=refusal) for one in wanted]
    else:
        fires = _overlapping(schedule.overlap, wanted, now=now, open_batches=open_batches, queued=queued)
    return sorted([*left_out.values(), *fires], key=lambda decided: decided.due_at)


def _left_out(schedule: Schedule, one: Occurrence, now: datetime) -> Decided | None:
    """The decision on an occurrence that nothing could make fire."""
    if in_blackout(schedule, one.due_at):
        return Decided(due_at=one.due_at, decision=FireDecision.BLACKED_OUT, reason="it was due in a blackout")
    if in_blackout(schedule, now):
        return Decided(due_at=one.due_at, decision=FireDecision.BLACKED_OUT, reason="it would have begun in a blackout")
    if not is_late(one, now):
        return None
    if schedule.missed is Missed.SKIP:
        return _missed(one, "no worker was there when it was due")
    if now - one.begins_at > timedelta(seconds=schedule.window):
        return _missed(one, f"no worker was there within {schedule.window:g} s of its moment")
    return None


def is_late(one: Occurrence, now: datetime) -> bool:
    """Whether no worker was there in time: what is decided now makes up for it, or leaves it out."""
    return now - one.begins_at > ON_TIME


def _missed(one: Occurrence, reason: str) -> Decided:
    return Decided(due_at=one.due_at, decision=FireDecision.MISSED, reason=reason)


def _one_for_all(wanted: Sequence[Occurrence], now: datetime) -> tuple[list[Occurrence], list[Decided]]:
    """The latest of the missed stands for all of them, and one that is on time stands for them too."""
    on_time = [one for one in wanted if not is_late(one, now)]
    late = [one for one in wanted if is_late(one, now)]
    made_up_for = [] if on_time else late[-1:]
    stood_for = late[: len(late) - len(made_up_for)]
    return [*made_up_for, *on_time], [_missed(one, "a later one stands for it") for one in stood_for]


def _overlapping(
    overlap: Overlap, wanted: Sequence[Occurrence], *, now: datetime, open_batches: Sequence[str], queued: bool
) -> list[Decided]:
    """What the overlap policy makes of those that want to fire now, one after the other."""
    decisions: list[Decided] = []
    busy = bool(open_batches) or queued
    for one in wanted:
        late = "no worker was there when it was due; this makes up for it" if is_late(one, now) else ""
        fired = Decided(due_at=one.due_at, decision=FireDecision.FIRED, reason=late)
        if overlap is Overlap.ALLOW or not busy:
            decisions.append(fired)
        elif overlap is Overlap.CANCEL:
            decisions = [_replaced(earlier) for earlier in decisions]
            decisions.append(replace(fired, cancels=tuple(open_batches)))
        elif overlap is Overlap.QUEUE and not queued:
            reason = "the batch of an earlier fire is open; it begins when that is closed"
            decisions.append(replace(fired, decision=FireDecision.QUEUED, reason=reason))
            queued = True
        else:
            why = "one fire waits already" if overlap is Overlap.QUEUE else "the batch of an earlier fire is open"
            decisions.append(replace(fired, decision=FireDecision.SKIPPED, reason=why))
        busy = True
    return decisions


def _replaced(earlier: Decided) -> Decided:
    if earlier.decision is not FireDecision.FIRED:
        return earlier
    return Decided(due_at=earlier.due_at, decision=FireDecision.SKIPPED, reason="a later one takes its place at once")


def missed_before(first: Occurrence, *, until: datetime) -> Decided:
    """One decision for all occurrences from `first` until `until`, too many and too old to be looked at singly."""
    return _missed(first, f"no worker was there; so it was with all others until {until:%Y-%m-%d %H:%M:%S} UTC")


def condensed(decisions: Sequence[Decided]) -> list[Decided]:
    """The same, with what was left out for one reason in a row kept as one: an outage of days fills no table."""
    kept: list[Decided] = []
    counts: list[int] = []
    last: list[datetime] = []
    for decided in decisions:
        same = bool(kept) and (kept[-1].decision, kept[-1].reason) == (decided.decision, decided.reason)
        if same and decided.decision not in {FireDecision.FIRED, FireDecision.QUEUED}:
            counts[-1] += 1
            last[-1] = decided.due_at
        else:
            kept, counts, last = [*kept, decided], [*counts, 0], [*last, decided.due_at]
    return [
        replace(one, reason=f"{one.reason} ({more} more until {end:%Y-%m-%d %H:%M:%S} UTC)") if more else one
        for one, more, end in zip(kept, counts, last, strict=True)
    ]
