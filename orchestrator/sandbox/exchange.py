"""One request and its answer as the sandbox's remotes see them: plain values, so that a handler is a plain function.

A handler acts at once and says how long its answer takes; the edge does the waiting. That is what lets a fault separate
an effect from its answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request; `fault` is the specific fault that strikes it, if any."""

    method: str
    path: str
    parts: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    fault: str | None = None

    def json(self) -> Any:
        """The body's JSON; ValueError where it is none. An empty body is an empty object."""
        return json.loads(self.raw) if self.raw else {}

    def bearer(self) -> str | None:
        """The bearer key; None where the header is missing or malformed."""
        kind, _, key = self.headers.get("Authorization", "").partition(" ")
        return key.strip() if kind.lower() == "bearer" and key.strip() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer: `body` is JSON unless it is bytes; `delay` is in the remotes' seconds."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    delay: float = 0.0

    def payload(self) -> bytes:
        """The body as it goes on the wire."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Handler = Callable[[Asked], Answer]


class Remote(Protocol):
    """One remote's manners: who may ask, and how it says no."""

    flavour: str

    def refusal(self, asked: Asked, operation: str) -> Answer | None:
        """The answer to somebody who may not ask this now; None lets the request through."""
        ...

    def error(self, status: int, message: str) -> Answer:
        """An error in this remote's shape."""
        ...


def html(status: int, title: str) -> Answer:
    """An HTML error page, as a proxy in front of a remote sends it."""
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Answer(status=status, body=page.encode(), content_type="text/html")


def text(status: int, body: str) -> Answer:
    """A plain-text answer."""
    return Answer(status=status, body=body.encode(), content_type="text/plain")
