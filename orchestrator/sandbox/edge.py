"""The edge between the wire and the remotes: reads requests, lets faults and kills strike, writes answers.

Generic faults live here and nowhere else: whatever a remote does, its answer may be lost, late, slow or broken.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from aiohttp import web

from orchestrator.sandbox.clock import SandboxClock
from orchestrator.sandbox.exchange import Answer, Asked, Handler, Remote, html, text
from orchestrator.sandbox.faults import GENERIC, Faults
from orchestrator.sandbox.kills import Kill, Kills

OVERSIZED: Final = 20_000_000
SLOW_SECONDS: Final = 30.0
LATE_SECONDS: Final = 5.0
RETRY_AFTER: Final = 1
# Struck before anything happened.
BEFORE: Final = frozenset({"lost_request", "busy", "error", "html", "refused"})

Adder = Callable[[str, str, str, Handler], None]


class Edge:
    """Turns handlers into routes that count requests, can be struck by faults, and can strike who asked."""

    def __init__(self, *, clock: SandboxClock, faults: Faults, kills: Kills) -> None:
        self.requests: Counter[str] = Counter()
        self._clock = clock
        self._faults = faults
        self._kills = kills

    def routes_of(self, remote: Remote, app: web.Application) -> Adder:
        """What registers a remote's handlers: `add(operation, method, path, handler)`."""

        def add(operation: str, method: str, path: str, handler: Handler) -> None:
            async def route(request: web.Request) -> web.StreamResponse:
                self.requests[operation] += 1
                return await self._answer(request, remote, operation, handler)

            app.router.add_route(method, path, route)

        return add

    async def _answer(
        self, request: web.Request, remote: Remote, operation: str, handler: Handler
    ) -> web.StreamResponse:
        asked = await _read(request)
        kill = self._kills.due(operation)
        if kill is None:
            return await self._weathered(request, remote, operation, handler, asked)
        if kill.edge == "received":
            self._kills.strike(kill)
            return _drop(request)
        if kill.edge == "done":
            return await self._weathered(request, remote, operation, self._striking(handler, kill), asked)
        response = await self._weathered(request, remote, operation, handler, asked)
        await _write_out(request, response)
        self._kills.strike_later(kill)
        return response

    def _striking(self, handler: Handler, kill: Kill) -> Handler:
        def act(asked: Asked) -> Answer:
            answer = handler(asked)
            self._kills.strike(kill)
            return answer

        return act

    async def _weathered(
        self, request: web.Request, remote: Remote, operation: str, handler: Handler, asked: Asked
    ) -> web.StreamResponse:
        fault = self._faults.take(operation, flavour=remote.flavour)
        if fault in BEFORE:
            return await self._struck_before(request, remote, fault)
        if fault == "late":
            self._clock.after(LATE_SECONDS, partial(_act_unheard, remote, operation, handler, asked))
            return _drop(request)
        if fault is not None and fault not in GENERIC:
            asked = replace(asked, fault=fault)
        answer = _act(remote, operation, handler, asked)
        if fault in GENERIC:
            return await self._struck_after(request, answer, str(fault))
        return await self._write(answer)

    async def _struck_before(self, request: web.Request, remote: Remote, fault: str | None) -> web.StreamResponse:
        if fault == "lost_request":
            return _drop(request)
        answers = {
            "busy": replace(remote.error(429, "Rate limit exceeded."), headers={"Retry-After": str(RETRY_AFTER)}),
            "error": remote.error(500, "Internal server error."),
            "refused": remote.error(401, "Invalid API key."),
        }
        return await self._write(answers.get(str(fault), html(503, "Service Unavailable")))

    async def _struck_after(self, request: web.Request, answer: Answer, fault: str) -> web.StreamResponse:
        if fault == "lost_answer":
            return _drop(request)
        if fault == "truncated":
            return await _write_truncated(request, answer)
        return await self._write(_broken(answer, fault))

    async def _write(self, answer: Answer) -> web.StreamResponse:
        if answer.delay:
            await asyncio.sleep(self._clock.scaled(answer.delay))
        body = b"" if answer.body is None and answer.content_type == "" else answer.payload()
        return web.Response(
            status=answer.status, body=body, headers=answer.headers, content_type=answer.content_type or None
        )


def _act(remote: Remote, operation: str, handler: Handler, asked: Asked) -> Answer:
    return remote.refusal(asked, operation) or handler(asked)


def _act_unheard(remote: Remote, operation: str, handler: Handler, asked: Asked) -> None:
    _act(remote, operation, handler, asked)


async def _read(request: web.Request) -> Asked:
    return Asked(
        method=request.method,
        path=request.path,
        parts=dict(request.match_info),
        query=dict(request.query),
        headers=request.headers.copy(),
        raw=await request.read(),
    )


def _broken(answer: Answer, fault: str) -> Answer:
    if fault == "slow":
        return replace(answer, delay=answer.delay + SLOW_SECONDS)
    if fault == "not_json":
        return text(200, "OK, but this is no JSON.")
    if fault == "wrong_type":
        return Answer(body=["another", {"shape": True}])
    return Answer(body=b'{"padding": "' + b"x" * OVERSIZED + b'"}')


def _drop(request: web.Request) -> web.StreamResponse:
    """Hang up without a word; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _write_out(request: web.Request, response: web.StreamResponse) -> None:
    """Hand the whole answer to the connection now, where there still is one."""
    if request.transport is None or request.transport.is_closing():
        return
    await response.prepare(request)
    await response.write_eof()


async def _write_truncated(request: web.Request, answer: Answer) -> web.StreamResponse:
    body = answer.payload()
    response = web.StreamResponse(status=answer.status)
    response.content_type = answer.content_type or "application/json"
    response.content_length = len(body) + 10
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    return _drop(request)
