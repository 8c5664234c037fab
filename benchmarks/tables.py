"""Tables of Markdown, and how numbers look in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; numbers stand to the right."""
    body = [[_cell(cell) for cell in row] for row in rows]
    if not body:
        return "Not measured yet."
    right = [all(not row[n] or row[n].lstrip("-")[0].isdigit() for row in body) for n in range(len(head))]
    rule = ["---:" if side else "---" for side in right]
    return "\n".join(f"| {' | '.join(line)} |" for line in (list(head), rule, *body))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def percent(share: float) -> str:
    """A share as whole percents."""
    return f"{100 * share:.0f} %"


def each(values: Iterable[float], digits: int = 2) -> str:
    """All repetitions of one figure."""
    return ", ".join(f"{value:.{digits}f}" for value in values)
