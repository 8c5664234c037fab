"""Who may ask what, and how often: bearer tokens and their scopes, and a bound on requests for each of them.

Without tokens the service is open, on loopback alone. Then a browser on this machine is the way in for strangers, so
what comes from a page of another origin, or under another host's name, is refused.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from orchestrator.api.context import ApiContext
from orchestrator.api.problems import FOREIGN, TOO_MANY, Refusal, answer_to, refusal_of, retry_after
from orchestrator.api.rate import RateBound
from orchestrator.api.webhook import PATH
from orchestrator.app.access import Gatekeeper, digest_of
from orchestrator.domain.access import Caller, Scope
from orchestrator.domain.address import is_loopback
from orchestrator.domain.errors import NotAuthenticated, NotPermitted, OrchestratorError
from orchestrator.domain.secret import ApiKey

OPEN_PATHS: Final = frozenset({"/livez", "/readyz", "/openapi.json"})
OWN_SECRET: Final = frozenset({PATH})  # Cekura shows a secret of its own there
LOCAL: Final = Caller(actor="local", scope=Scope.ADMIN)
BEARER: Final = "bearer "
MOST_REMEMBERED: Final = 1000


class Guard:
    """Lets a request pass with its caller known, or answers why not."""

    def __init__(self, app: ASGIApp, *, context: ApiContext) -> None:
        limits, monotonic = context.limits, context.clock.monotonic
        self._app = app
        self._gatekeeper = context.gatekeeper
        self._open = context.open_until_token
        self._origins = frozenset(limits.origins)
        self._callers = RateBound(per_second=limits.requests_per_second, burst=limits.burst, monotonic=monotonic)
        self._strangers = RateBound(
            per_second=limits.strangers_per_second, burst=limits.strangers_burst, monotonic=monotonic
        )
        self._known: dict[str, None] = {}  # digests of tokens that were good: no stranger's flood keeps them out

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Admit one request."""
        if scope["type"] == "http":
            try:
                await self._admit(Request(scope))
            except (Refusal, OrchestratorError) as error:
                await answer_to(error, path=scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _admit(self, request: Request) -> None:
        if request.scope["path"] in OPEN_PATHS | OWN_SECRET:
            _bound(self._callers, f"address {_address(request)}")
            return
        caller = await self._caller(request)
        _bound(self._callers, caller.actor)
        request.state.caller = caller

    async def _caller(self, request: Request) -> Caller:
        if self._gatekeeper is None or await self._still_open(self._gatekeeper):
            self._check_local(request)
            return LOCAL
        address, presented = _address(request), _presented(request)
        digest = "" if presented is None else digest_of(presented)
        if digest not in self._known and (seconds := self._strangers.wait(address)):
            raise _too_many(seconds)
        self._known.pop(digest, None)
        try:
            caller = await self._gatekeeper.authenticate(presented)
        except NotAuthenticated:
            self._strangers.take(address)
            raise
        self._known[digest] = None
        if len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        return caller

    async def _still_open(self, gatekeeper: Gatekeeper) -> bool:
        """Once somebody has a token the service stays closed, also when the last one was revoked."""
        self._open = self._open and not await gatekeeper.knows_anybody()
        return self._open

    def _check_local(self, request: Request) -> None:
        origin = request.headers.get("origin")
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        same = origin is None or origin in self._origins or urlsplit(origin).netloc == request.headers.get("host")
        if not is_loopback(host) or not same:
            raise Refusal(
                FOREIGN,
                "The service has no tokens, and the request came from a page of another origin or for another host.",
                next_step="`orchestrator tokens create NAME --scope run` makes a token; with one, any origin may ask.",
            )


class Needs:
    """What a route asks of its caller: FastAPI calls it before the route, and the published document shows it."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Caller:
        """The caller, who has the scope; a problem that names it where not."""
        caller: Caller = request.state.caller
        try:
            caller.check(self.scope)
        except NotPermitted as error:
            refusal = refusal_of(error)
            challenge = f'Bearer realm="orchestrator", error="insufficient_scope", scope="{self.scope}"'
            refusal.headers["WWW-Authenticate"] = challenge
            raise refusal from None
        return caller


def _presented(request: Request) -> ApiKey | None:
    header = request.headers.get("authorization", "")
    if header[: len(BEARER)].lower() != BEARER:
        return None
    return ApiKey(header[len(BEARER) :].strip())


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _bound(rate: RateBound, name: str) -> None:
    if seconds := rate.take(name):
        raise _too_many(seconds)


def _too_many(seconds: float) -> Refusal:
    return Refusal(
        TOO_MANY,
        "More requests came than are allowed.",
        next_step="Wait as long as Retry-After says; to follow a batch, listen to its events instead of asking often.",
        headers=retry_after(seconds),
    )
