"""Serves the API on the loop that drives batches, and ends it in good order: no new requests, streams told to end.

Beyond loopback it listens only where a token is needed: everybody could begin batches, and read the rooms of all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

import uvicorn
from loguru import logger

from orchestrator.api.application import build_api
from orchestrator.api.context import ApiContext
from orchestrator.app.access import has_live_token
from orchestrator.domain.address import is_loopback
from orchestrator.domain.errors import InvalidSettings

DEFAULT_PORT: Final = 8080
LEAVE_SECONDS: Final = 3  # for requests under way when the service ends
KEEP_ALIVE_SECONDS: Final = 15
MOST_CONNECTIONS: Final = 1000
BACKLOG: Final = 256
LIBRARY: Final = "uvicorn.error"  # its only log that we hear; requests are told of by the edge


class ApiServer:
    """`async with ApiServer(context, host=..., port=...) as server:` serves until the block ends; port 0: a free one.

    InvalidSettings where nothing may listen: beyond loopback without a token that opens something, or a port that is
    taken. Signals are left to whoever runs the loop.
    """

    def __init__(self, context: ApiContext, *, host: str = "127.0.0.1", port: int = DEFAULT_PORT) -> None:
        self._context = context
        self._api = build_api(context)
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it answers, from this machine."""
        port = self._socket.getsockname()[1] if self._socket is not None else self._port
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{port}"

    async def __aenter__(self) -> Self:
        await check_door(self._context, self._host)
        self._socket = _bound(self._host, self._port)
        self._server = _Server(
            uvicorn.Config(
                self._api,
                http="h11",  # the one that bounds the size of headers
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=BACKLOG,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=LEAVE_SECONDS,
            )
        )
        _hear_library()
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http api")
        while not self._server.started and not self._serving.done():  # noqa: ASYNC110  it offers no event
            await asyncio.sleep(0.005)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._api.state.feeds.close()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.wait([self._serving])
        if self._socket is not None:
            self._socket.close()


async def check_door(context: ApiContext, host: str) -> None:
    """InvalidSettings where `host` is beyond loopback and nobody could be told from anybody."""
    if is_loopback(host):
        return
    if context.gatekeeper is None or not await has_live_token(context.store, context.clock):
        raise InvalidSettings(
            f"{host} is beyond loopback, and there is no access token: everybody there could begin batches",
            next_step="`orchestrator tokens create NAME --scope run` makes one; or listen on 127.0.0.1.",
        )


class _Server(uvicorn.Server):
    """The library's server, which otherwise takes the signals of the process to itself."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise InvalidSettings(
            f"cannot listen on {host}, port {port}: {error.strerror or error}",
            next_step="Choose another --host or --port; something else may listen there already.",
        ) from error
    listening.setblocking(False)
    return listening


class _Forwarding(logging.Handler):
    """The library's words as lines of ours; a traceback of it is left out, for its text may hold anything."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one on."""
        level = "DEBUG" if record.levelno < logging.WARNING else record.levelname
        logger.log(level, "the web server said something", said=str(record.msg)[:200])


def _hear_library() -> None:
    library = logging.getLogger(LIBRARY)
    library.propagate = False
    library.setLevel(logging.INFO)
    if not any(isinstance(one, _Forwarding) for one in library.handlers):
        library.addHandler(_Forwarding())
