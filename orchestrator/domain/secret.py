"""A secret that cannot be printed by accident: its repr, str and format are masked; `reveal()` is the only way out."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final, NoReturn, Self

MASK: Final = "********"


class Secret:
    """An API key or a meeting token in memory; equality is constant-time."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The plain value, for the one line that puts it on the wire."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return format(MASK, format_spec)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Mapping[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        # A pickle would hold the plain value.
        raise TypeError(f"a {type(self).__name__} is not to be stored: reveal() it on the line that needs it")


class MeetingToken(Secret):
    """Daily's credential for one room."""


class ApiKey(Secret):
    """A key for one of the remotes, or the secret of a token for our own service."""
