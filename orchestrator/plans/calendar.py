"""When a schedule is due: the one door to cronsim, and the only place that knows what clocks do in spring and autumn.

Moments are aware UTC datetimes on whole seconds. An interval counts from the Unix epoch, whoever asks and since when,
so that all workers agree.

A cron expression is read on the wall clock of the schedule's timezone:

- One that names every hour (`*/15 * * * *`) follows real time: when clocks go back it goes on through the repeated
  hour, and when they go forward it misses nothing but the hour that there is not.
- Any other names times of day (`30 2 * * *`), and each is due once a day: in a repeated hour, at the first pass. A time
  that a day does not have, because clocks go forward over it, is due when they have: at the end of the gap. Several
  such times are due there together, once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from orchestrator.domain.schedule import Occurrence, Schedule

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EXPRESSION_LIMIT: Final = 200  # characters
FIELDS: Final = 5
EVERY_HOUR: Final = frozenset(range(24))

_HOUR_FIELD: Final = 1
_MINUTE: Final = timedelta(minutes=1)
_HASHED_BITS: Final = 64


def next_fires(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    """The first `count` moments later than `after`, in order; fewer where the rule has no more."""
    return list(islice(_moments(schedule, after), count))


def fires_between(schedule: Schedule, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """The moments later than `after` and not later than `until`, in order; at most the first `limit`."""
    return list(islice(takewhile(lambda moment: moment <= until, _moments(schedule, after)), limit))


def occurrence(schedule: Schedule, due_at: datetime) -> Occurrence:
    """The moment with the jitter that is its own: from 0 up to the schedule's, the same on every worker."""
    digest = hashlib.sha256(f"{schedule.name} {due_at.astimezone(UTC).isoformat()}".encode()).digest()
    share = int.from_bytes(digest[: _HASHED_BITS // 8]) / 2**_HASHED_BITS
    # Cut to microseconds, never rounded up: jitter stays below what was asked for.
    microseconds = int(min(share * schedule.jitter * 1e6, max(schedule.jitter * 1e6 - 1, 0)))
    return Occurrence(due_at=due_at, begins_at=due_at + timedelta(microseconds=microseconds))


def cron_trouble(expression: str) -> str | None:
    """What is wrong with a cron expression: malformed, or never due; None where it is good."""
    if len(expression) > EXPRESSION_LIMIT:
        return f"is longer than {EXPRESSION_LIMIT} characters"
    fields = expression.split()
    if len(fields) != FIELDS:
        return f"has {len(fields)} fields, not {FIELDS}: minute, hour, day of month, month, day of week"
    try:
        rule = CronSim(expression, EPOCH.replace(tzinfo=None))
    except CronSimError as error:
        return _words_of(error, expression)
    return None if next(rule, None) is not None else NEVER


NEVER: Final = "is never due: no month has such a day"


def _words_of(error: CronSimError, expression: str) -> str:
    """Its own words are `Bad hour` for a field that cannot be read, and `Bad day-of-month` for 30 February too."""
    said = str(error).removeprefix("Bad ")
    if said == "day-of-month" and not _bad_days(expression):
        return NEVER
    return f"has a {said} that cannot be read" if str(error).startswith("Bad ") else str(error).lower()


def _bad_days(expression: str) -> bool:
    """Whether the days cannot be read at all, whatever the month."""
    minute, hour, days, _, weekdays = expression.split()
    try:
        CronSim(f"{minute} {hour} {days} * {weekdays}", EPOCH.replace(tzinfo=None))
    except CronSimError:
        return True
    return False


def _moments(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    if schedule.every is not None:
        return _interval_moments(timedelta(seconds=schedule.every), after)
    return _cron_moments(schedule.cron or "", schedule.zone, after)


def _interval_moments(period: timedelta, after: datetime) -> Iterator[datetime]:
    moment = EPOCH + ((after - EPOCH) // period + 1) * period
    while True:
        yield moment
        moment += period


def _cron_moments(expression: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Strictly later than `after` and strictly growing, whatever clocks do in between."""
    latest = after
    for moment in _as_read_on_the_wall(expression, zone, after):
        if moment > latest:
            yield moment
            latest = moment


def _as_read_on_the_wall(expression: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    local = after.astimezone(zone)
    if CronSim(expression, local).hours == EVERY_HOUR:
        fields = expression.split()
        fields[_HOUR_FIELD] = "*"  # said otherwise (0-23), cronsim would take its hours for times of day
        for moment in CronSim(" ".join(fields), local):
            yield moment.astimezone(UTC)
    else:
        for wall in CronSim(expression, local.replace(tzinfo=None)):
            yield _first_at(wall, zone)


def _first_at(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first moment at which clocks show `wall`; where they skip it, the moment they go on."""
    while True:
        moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == wall:
            return moment
        wall += _MINUTE
