"""One thing found in a plan, before it is known on which line it stands.

Rules look at data and know nothing of files; whoever read the text (or the `--set` options) turns findings into
problems.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong at `place` (keys and list indexes from the top of the plan), and what to write instead."""

    place: Place
    message: str
    remedy: str = ""


def dotted(place: Place) -> str:
    """The place as a person writes it, also after `--set`: `scenarios.0.repeat`."""
    return ".".join(str(part) for part in place) or "plan"


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name closest to what was written, or None where nothing is close."""
    matches = difflib.get_close_matches(str(name), sorted(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def shortened(value: object, limit: int = 40) -> str:
    """A value as it may stand in a message: one line, at most `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
