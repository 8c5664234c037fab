"""What a group of loops that failed together failed of."""

from __future__ import annotations

from typing import Any


def first_error(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first real error inside nested groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
