"""What all parts of a plan or a service file share, before any of their keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T", int, str)


class Section(BaseModel):
    """What every part of a plan shares: no unknown keys, no silent conversions, finite numbers."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def without_repeats(values: Sequence[T]) -> Sequence[T]:
    """The values as they are; ValueError names those given twice."""
    repeated = sorted(str(value) for value, count in Counter(values).items() if count > 1)
    if repeated:
        message = f"must not repeat {', '.join(repeated)}"
        raise ValueError(message)
    return values
