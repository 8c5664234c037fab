"""Lists of Cekura's API: what a query asks for, and one page of what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from orchestrator.sandbox.exchange import Answer, Asked
from orchestrator.sandbox.fields import NOT_AN_INTEGER, FieldErrors

PAGE_SIZE: Final = 30

T = TypeVar("T")


def integer_of(query: Mapping[str, str], name: str) -> int | None:
    """A query's number, None where it has none (or an empty one); FieldErrors where it is no number."""
    text = query.get(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise FieldErrors({name: [NOT_AN_INTEGER]}) from None


def paged(asked: Asked, found: Sequence[T], show: Callable[[T], Any]) -> Answer:
    """One page of a list and the addresses of its neighbours; 404 past its end."""
    page, size = _whole(asked.query.get("page", "1")), _whole(asked.query.get("page_size", "")) or PAGE_SIZE
    shown = found[(page - 1) * size : page * size] if page else []
    if page != 1 and not shown:
        return Answer(status=404, body={"detail": "Invalid page."})
    return Answer(
        body={
            "count": len(found),
            "next": _address(asked, page + 1) if page * size < len(found) else None,
            "previous": _address(asked, page - 1) if page > 1 else None,
            "results": [show(one) for one in shown],
        }
    )


def _address(asked: Asked, page: int) -> str:
    query = urlencode({**asked.query, "page": page})
    return f"http://{asked.headers.get('Host', '')}{asked.path}?{query}"


def _whole(text: str) -> int:
    """A positive number, 0 where the text is none."""
    return int(text) if text.isascii() and text.isdigit() else 0
