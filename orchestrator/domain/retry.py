"""How long to wait before asking again: doubling from a second, or what the remote asked for."""

from __future__ import annotations

from typing import Final

FIRST_WAIT: Final = 1.0
MOST_DOUBLINGS: Final = 10


def backoff_seconds(failures: int, *, longest: float) -> float:
    """Seconds to wait after `failures` in a row (1 or more): 1, 2, 4, ... up to `longest`."""
    doublings: int = min(max(failures, 1) - 1, MOST_DOUBLINGS)
    return min(longest, FIRST_WAIT * float(2**doublings))


def hold_off_seconds(
    failures: int, *, told: float | None, longest: float, patience: float, speed: float = 1.0
) -> float:
    """Seconds to hold off after a refusal: what the remote told us (Retry-After), else a growing wait of our own.

    However long the remote asks for, past `patience` the work itself is given up, so there is no use in waiting longer.
    `speed` divides our own waits, for a batch that is hurried; a remote means real seconds.
    """
    return backoff_seconds(failures, longest=longest) / speed if told is None else min(max(told, 0.0), patience)
