"""Reading what remotes send: tolerant where their documents disagree with their servers, strict about what we use.

Each function returns None where the value is absent or of no use; whoever needs it decides what that means.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

LONGEST_CLOCK: Final = 3  # parts of a duration: hours, minutes, seconds
LONGEST_NUMBER: Final = 40  # digits of an integer sent as text: Python refuses to read some thousands of them


def text_of(value: Any) -> str:
    """A string as it is; what is none, or cannot be written down (half a surrogate pair), as the empty string."""
    if not isinstance(value, str):
        return ""
    try:
        value.encode()
    except UnicodeEncodeError:
        return ""
    return value


def whole_number(value: Any) -> int | None:
    """An integer, also where it was sent as text (several of Cekura's integers are declared strings)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and len(value) <= LONGEST_NUMBER and value.strip().isascii() and value.strip().isdigit():
        return int(value)
    return None


def number(value: Any) -> float | None:
    """A finite number, also where it was sent as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def flag(value: Any) -> bool | None:
    """A boolean, also where it was sent as the words true or false."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None


def record_of(value: Any) -> Mapping[str, Any]:
    """A JSON object, or an empty one."""
    return value if isinstance(value, dict) else {}


def object_of(value: Any) -> Mapping[str, Any]:
    """A JSON object, also where it was sent as JSON in a string, or an empty one."""
    if not isinstance(value, str):
        return record_of(value)
    try:
        return record_of(json.loads(value))
    except (ValueError, RecursionError):
        return {}


def id_of(value: Any) -> int | None:
    """An id, also where the whole object was sent in its place."""
    return whole_number(value.get("id")) if isinstance(value, dict) else whole_number(value)


def list_of(value: Any) -> list[Any]:
    """A JSON array, or an empty one."""
    return value if isinstance(value, list) else []


def moment(value: Any) -> datetime | None:
    """An ISO 8601 time in UTC; a time without a zone is taken for UTC."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def epoch(value: Any) -> datetime | None:
    """Unix seconds as a time in UTC."""
    seconds = number(value)
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def clock_seconds(value: Any) -> float | None:
    """Seconds of a duration sent as `MM:SS` or `HH:MM:SS` (Cekura) or as a plain number."""
    if not isinstance(value, str) or ":" not in value:
        return number(value)
    parts = [number(part) for part in value.split(":")]
    if len(parts) > LONGEST_CLOCK:
        return None
    total = 0.0
    for part in parts:
        if part is None or part < 0:
            return None
        total = total * 60 + part
    return total
