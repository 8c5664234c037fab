"""What may be sent: bodies of bounded size that arrive in bounded time, JSON that means one thing, known parameters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator
from email.message import Message as MediaType
from typing import Any, Final

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.problems import (
    INVALID_REQUEST,
    MALFORMED,
    TOO_LARGE,
    TOO_SLOW,
    WRONG_MEDIA,
    Refusal,
    answer_to,
)
from orchestrator.domain.errors import Problem

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
JSON: Final = "application/json"


class BoundedBody:
    """Reads a request's body before anything else sees it, and refuses it once it is too large or too slow."""

    def __init__(self, app: ASGIApp, *, most_bytes: int, seconds: float, but: Collection[str] = ()) -> None:
        self._app = app
        self._but = but  # paths that read what is sent to them themselves
        self._most_bytes = most_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request whose body is whole."""
        if scope["type"] != "http" or scope["path"] in self._but:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
        except Refusal as refusal:
            await answer_to(refusal, path=scope["path"])(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _replaying(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None when the client went away."""
        if _announced(scope) > self._most_bytes:
            raise self._too_large()
        parts: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(self._seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size, more = size + len(parts[-1]), message.get("more_body", False)
                    if size > self._most_bytes:
                        raise self._too_large()
        except TimeoutError:
            raise Refusal(
                TOO_SLOW, f"The body was not whole after {self._seconds:g} s.", next_step="Send it in one go."
            ) from None
        return b"".join(parts)

    def _too_large(self) -> Refusal:
        return Refusal(
            TOO_LARGE,
            f"The body is larger than {self._most_bytes} bytes.",
            next_step="Split the plan, or pass references instead of data.",
        )


def _announced(scope: Scope) -> int:
    length = dict(scope["headers"]).get(b"content-length", b"")
    return int(length) if length.isdigit() else 0


def _replaying(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


class Route(APIRoute):
    """A route that refuses parameters it does not know, and bodies that are not plain JSON."""

    def get_route_handler(self) -> Handler:
        """What answers a request of this route."""
        handle = super().get_route_handler()
        known = frozenset(_query_names(self.dependant))
        takes_body = self.body_field is not None

        async def checked(request: Request) -> Response:
            _check_query(request, known)
            if takes_body:
                request = _JsonRequest(request.scope, request.receive)
                await request.check()
            return await handle(request)

        return checked


class _JsonRequest(Request):
    """A request whose JSON is read once, and narrowly: what two readers could read differently is refused."""

    async def check(self) -> None:
        """Read the body; Refusal when it is there and not JSON."""
        body = await self.body()
        if not body:
            return
        if not _is_json(self.headers.get("content-type", "")):
            raise Refusal(
                WRONG_MEDIA, "The body's Content-Type is not application/json.", next_step=f"Send {JSON} and say so."
            )
        try:
            self._json = json.loads(body.decode(), parse_constant=_refused, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise Refusal(MALFORMED, f"The body cannot be read: {_words_of(error)}.") from None


def _is_json(content_type: str) -> bool:
    media = MediaType()
    media["content-type"] = content_type
    return media.get_content_maintype() == "application" and media.get_content_subtype() == "json"


def _refused(constant: str) -> Any:
    raise _NotJsonError(f"{constant} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise _NotJsonError("a key is given twice")
    return document


class _NotJsonError(ValueError):
    """What Python's reader would have let pass."""


def _words_of(error: Exception) -> str:
    """Why, without a word of what was sent."""
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    if isinstance(error, _NotJsonError):
        return str(error)
    return "it is nested too deeply" if isinstance(error, RecursionError) else "it is not JSON in UTF-8"


def _query_names(dependant: Dependant) -> Iterator[str]:
    yield from (parameter.alias for parameter in dependant.query_params)
    for below in dependant.dependencies:
        yield from _query_names(below)


def _check_query(request: Request, known: Iterable[str]) -> None:
    names = [name for name, _ in request.query_params.multi_items()]
    unknown = [_in_query(name, "is not a parameter of this path") for name in names if name not in known]
    twice = [_in_query(name, "is given twice") for name in dict.fromkeys(names) if names.count(name) > 1]
    if unknown or twice:
        raise Refusal(
            INVALID_REQUEST,
            "The query holds what this path does not take.",
            next_step=f"It takes: {', '.join(sorted(known)) or 'no parameters'}.",
            problems=[*unknown, *twice],
        )


def _in_query(name: str, message: str) -> Problem:
    return Problem(path=f"query.{name}", message=message)
