"""Names that may be labels: the first few of them, because every new one is a new series that is kept for ever."""

from __future__ import annotations

from typing import Final

MOST_NAMES: Final = 20
LONGEST_NAME: Final = 80
OTHER: Final = "other"


class FirstNames:
    """Gives back the first `most` distinct names as they are (shortened), and `other` for all that come after."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        """The label for `name`; always the same for the same name."""
        short = name[:LONGEST_NAME]
        if short in self._known:
            return short
        if len(self._known) >= self._most or not short:
            return OTHER
        self._known.add(short)
        return short
