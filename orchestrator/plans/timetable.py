"""How people write lengths of time, times of day, weekdays and timezones, and what is wrong with one that is none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from orchestrator.plans.finding import nearest, shortened

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # in Python's order: Monday is 0
TIME_OF_DAY: Final = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
MINUTES_OF_A_DAY: Final = 24 * 60

_SECONDS: Final = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_LENGTH: Final = re.compile(r"(?:(?P<d>\d{1,6})d)?(?:(?P<h>\d{1,6})h)?(?:(?P<m>\d{1,6})m)?(?:(?P<s>\d{1,9})s)?")
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


def seconds_of(value: Any) -> Any:
    """`"15m"`, `"2h"`, `"1d"` or `"1h30m"` in seconds; numbers and what is no text stay as they are.

    ValueError for a text that is no length of time.
    """
    if not isinstance(value, str):
        return value
    match = _LENGTH.fullmatch(value.strip())
    if match is None or not match[0]:
        raise ValueError(f'must be a number of seconds, or text such as "15m", "2h" or "1d", not {shortened(value)}')
    return float(sum(int(count) * _SECONDS[unit] for unit, count in match.groupdict().items() if count))


def minutes_of(time_of_day: str) -> int:
    """`"08:30"` in minutes of the day; `"24:00"` is its end."""
    hours, _, minutes = time_of_day.partition(":")
    return int(hours) * 60 + int(minutes)


def time_of_day(minutes: int) -> str:
    """The same backwards."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def days_of(names: Sequence[str]) -> tuple[int, ...]:
    """`mon` to `sun` as numbers in order, Monday as 0; no names: every day."""
    return tuple(number for number, name in enumerate(WEEKDAYS) if name in names or not names)


def local_moment(text: str) -> datetime | None:
    """An ISO date and time without an offset, or a date (its midnight); None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is None else None


def zone_trouble(name: str) -> tuple[str, str] | None:
    """What is wrong with the name of a timezone, and the remedy; None where it is known."""
    if _ZONE.fullmatch(name) and _known(name):
        return None
    suggestion = nearest(name, available_timezones())
    remedy = f"did you mean {suggestion}?" if suggestion else "write an IANA name, like timezone: Europe/Berlin"
    return f"{shortened(name)} is no timezone", remedy


def _known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a name, a folder of names
        return False
    return True
