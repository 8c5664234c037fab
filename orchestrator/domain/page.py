"""Pages of long lists: a cursor says where the last page ended, so that the next one costs what the first did.

A cursor names the sort key of the last row that was shown, not how many rows to leave out: rows that are added
meanwhile move nothing, and no row is shown twice or left out. It is opaque to whoever holds it and carries no right:
all that a made-up one can do is to begin a list at another place.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from orchestrator.domain.errors import InvalidCursor

T = TypeVar("T")
Moment = tuple[datetime, str]  # of a list by time: when, and the id that tells rows of one moment apart

VERSION: Final = 1
LONGEST_CURSOR: Final = 256  # characters; ours have less than 160
MOST_PER_PAGE: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LAST_MOMENT: Final = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_MOST: Final = 2**63 - 1  # what a database counts to
_LONGEST_ID: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some rows of a list in its order; `next_cursor` asks for those after them, None where there are no more."""

    items: tuple[T, ...]
    next_cursor: str | None = None


def cut_page(found: list[T], *, limit: int, cursor_of: Callable[[T], str]) -> Page[T]:
    """A page of `limit` rows out of one more that was asked for: that one shows that the list goes on."""
    shown = tuple(found[:limit])
    return Page(items=shown, next_cursor=cursor_of(shown[-1]) if len(found) > limit else None)


def moment_cursor(listed: str, at: datetime, name: str) -> str:
    """The cursor behind the row of `at` and `name` in a list by time; `listed` says which list."""
    return _written(listed, (at - _EPOCH) // _MICROSECOND, name)


def read_moment(listed: str, cursor: str | None) -> Moment | None:
    """What `moment_cursor` wrote; None without a cursor. InvalidCursor for anything else."""
    if cursor is None:
        return None
    match _read(listed, cursor):
        case [int(micros), str(name)] if _counts(micros, _LAST_MOMENT) and _may_be_an_id(name):
            return _EPOCH + micros * _MICROSECOND, name
    raise _invalid(listed)


def number_cursor(listed: str, number: int) -> str:
    """The cursor behind row `number` of a list by number."""
    return _written(listed, number)


def read_number(listed: str, cursor: str | None) -> int | None:
    """What `number_cursor` wrote; None without a cursor. InvalidCursor for anything else."""
    if cursor is None:
        return None
    match _read(listed, cursor):
        case [int(number)] if _counts(number, _MOST):
            return number
    raise _invalid(listed)


def _written(listed: str, *key: int | str) -> str:
    text = json.dumps([VERSION, listed, *key], separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(listed: str, cursor: str) -> list[Any]:
    """The key in a cursor of this list, of whatever types. Only the one spelling that `_written` has is taken."""
    if len(cursor) > LONGEST_CURSOR:
        raise _invalid(listed)
    try:
        document = json.loads(b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):  # ValueError: what is not ASCII, not UTF-8 or not JSON
        raise _invalid(listed) from None
    match document:
        case [version, list_, *key] if (version, list_) == (VERSION, listed) and _written(listed, *key) == cursor:
            return key
    raise _invalid(listed)


def _counts(number: int, most: int) -> bool:
    return type(number) is int and 0 <= number <= most  # True is an int, too


def _may_be_an_id(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_ID and name.isascii() and name.isprintable()


def _invalid(listed: str) -> InvalidCursor:
    return InvalidCursor(f"this is no cursor of the list of {listed}")
