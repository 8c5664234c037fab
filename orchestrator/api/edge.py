"""The outermost layer: a defect, too, ends with an answer and a line in the log; every answer has its headers."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from time import monotonic
from typing import Final

from loguru import logger
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.problems import answer_to

Told = Callable[[str, str, int, float], None]
HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Edge:
    """Wraps the application; whatever escapes from it is answered here and goes no further.

    `told` hears of each answer: the method, the template of the route (empty where none matched), status and seconds.
    """

    def __init__(self, app: ASGIApp, *, told: Told | None = None) -> None:
        self._app = app
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = monotonic()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:  # noqa: BLE001  the supervised edge: the text of a defect may hold anything
            _note_defect(error, scope)
            if not status:
                await answer_to(error, path=scope["path"])(scope, receive, noting)
        seconds = round(monotonic() - began, 4)
        if self._told is not None:
            self._told(scope["method"], getattr(scope.get("route"), "path_format", ""), status, seconds)
        logger.debug("answered a request", method=scope["method"], path=scope["path"], status=status, seconds=seconds)


def _note_defect(error: Exception, scope: Scope) -> None:
    """Its kind and place, not its text."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].name}, line {frames[-1].lineno}" if frames else "unknown"
    logger.error("a request met a defect", kind=type(error).__name__, place=place, path=scope["path"])
