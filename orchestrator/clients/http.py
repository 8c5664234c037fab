"""One door per remote and key: bounded, paced requests whose every ending is a value or an error of ours.

Two kinds of call. `read` may be repeated (it changes nothing, or doing it twice is doing it once): any failure on the
way is RemoteUnavailable. `act` costs money or cannot be repeated: only a connection that was never made is
RemoteUnavailable; whatever fails after the request may have been sent is OutcomeUnknown.

No redirect is followed: a redirected POST loses its body, and a key must not travel to another host. TLS verification
is never switched off. Causes are dropped (`from None`): httpx's errors hold the request, and that holds the key.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from http import HTTPStatus
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx

from orchestrator.clients.address import checked_base_url
from orchestrator.clients.body import beginning, whole
from orchestrator.clients.observer import RequestObserver
from orchestrator.clients.pace import Pace
from orchestrator.clients.refusal import Dialect, error_for, plain, read_refusal, retry_after_seconds
from orchestrator.clients.transport import open_transport
from orchestrator.clock import Clock
from orchestrator.domain.address import is_loopback
from orchestrator.domain.errors import (
    InvalidSettings,
    OutcomeUnknown,
    RemoteBusy,
    RemoteError,
    RemoteProtocolError,
    RemoteUnavailable,
)
from orchestrator.domain.secret import MASK

Method = Literal["GET", "POST", "PATCH", "DELETE"]

READ_TIMEOUT: Final = 30.0
ACT_TIMEOUT: Final = 120.0  # a big submission takes Cekura longer than its SDK's 30 s (cekura.md 3.3)
CONNECT_TIMEOUT: Final = 10.0
USER_AGENT: Final = f"python-httpx/{httpx.__version__}"
ANSWER_LIMIT: Final = 16 * 2**20
REFUSAL_LIMIT: Final = 64 * 2**10  # bytes of an error body worth reading
SHORTEST_SECRET: Final = 4  # characters; anything shorter would mask ordinary words
NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
PLAIN_DIALECT: Final = Dialect()
NOTHING: Final = httpx.ByteStream(b"")
Headers = list[tuple[bytes, bytes]]


class AnswerTooLarge(RemoteProtocolError):
    """The answer to a harmless call passed the size limit; asking for less may help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request in flight: whom we ask what, and what a failure of it would mean."""

    remote: str
    operation: str
    paid: bool
    dialect: Dialect = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def never_sent(self, detail: str) -> RemoteUnavailable:
        """The remote certainly saw nothing."""
        return RemoteUnavailable(
            remote=self.remote, operation=self.operation, detail=detail, next_step=self.dialect.address_advice
        )

    def lost(self, detail: str, *, status: int | None = None) -> RemoteError:
        """The answer did not arrive whole."""
        if not self.paid:
            return self.never_sent(detail)
        return self._unknown(detail, status)

    def broken(self, detail: str, *, status: int | None = None) -> RemoteError:
        """The answer arrived and breaks the remote's contract."""
        if self.paid:
            return self._unknown(detail, status)
        return RemoteProtocolError(
            remote=self.remote,
            operation=self.operation,
            detail=detail,
            status=status,
            next_step=self.dialect.address_advice,
        )

    def too_large(self, limit: int) -> RemoteError:
        """The answer passed the size limit."""
        detail = f"the answer is larger than {limit} bytes"
        if self.paid:
            return self._unknown(detail, None)
        return AnswerTooLarge(remote=self.remote, operation=self.operation, detail=detail)

    def _unknown(self, detail: str, status: int | None) -> OutcomeUnknown:
        return OutcomeUnknown(
            remote=self.remote,
            operation=self.operation,
            detail=detail,
            status=status,
            next_step=self.dialect.lookup_advice,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer with its whole body; reading it as the wrong shape raises what its call says that means."""

    call: Call
    status: int
    content: bytes = field(repr=False)
    retry_after: float | None = None

    def json(self) -> Any:
        """The body as JSON."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            raise self.broken("the answer is not JSON") from None

    def record(self) -> Mapping[str, Any]:
        """The body as a JSON object."""
        body = self.json()
        if not isinstance(body, dict):
            raise self.broken("the answer is not a JSON object")
        return body

    def records(self) -> list[Mapping[str, Any]]:
        """The body as a JSON array of objects."""
        return self._objects(self.json(), "the answer is not a list of objects")

    def array(self, name: str) -> list[Mapping[str, Any]]:
        """The array of objects under `name` of a JSON object; its absence is never read as "none"."""
        return self._objects(self.record().get(name), f"the answer holds no list of objects named {name}")

    def broken(self, detail: str) -> RemoteError:
        """What to raise where the body breaks the remote's contract."""
        return self.call.broken(plain(detail, secrets=self.call.secrets), status=self.status)

    def _objects(self, found: Any, complaint: str) -> list[Mapping[str, Any]]:
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self.broken(complaint)
        return found

    def error(self) -> RemoteError:
        """What to raise for a status other than 2xx."""
        return error_for(
            remote=self.call.remote,
            operation=self.call.operation,
            dialect=self.call.dialect,
            status=self.status,
            refusal=read_refusal(self.content, status=self.status, secrets=self.call.secrets),
            paid=self.call.paid,
            retry_after=self.retry_after,
        )


class RemoteHttp:
    """One remote under one key; `headers` are sent with every request and never shown."""

    def __init__(
        self,
        *,
        remote: str,
        base_url: str,
        headers: Mapping[str, str],
        clock: Clock,
        pace: Pace | None = None,
        dialect: Dialect = PLAIN_DIALECT,
        connect_timeout: float = CONNECT_TIMEOUT,
        answer_limit: int = ANSWER_LIMIT,
        plain_http: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        observer: RequestObserver | None = None,
    ) -> None:
        self.remote = remote
        self.observer = observer
        self.base_url = checked_base_url(base_url, remote=remote, plain_http=plain_http and not headers)
        self._pace = pace
        self._clock = clock
        self._dialect = dialect
        self._connect_timeout = connect_timeout
        self._answer_limit = answer_limit
        self._secrets = _secrets_of(_checked_headers(headers, remote=remote))
        self._headers = _wire_headers(headers, base_url=self.base_url)
        self._kept = transport or self._open(kept=True)
        # A kept connection may be closed by the remote just as a request goes out on it: a read is asked again, but a
        # paid call would be lost. Seen with uvicorn, which closes after a 500 and after 5 idle seconds.
        self._fresh = transport or self._open(kept=False)

    def _open(self, *, kept: bool) -> httpx.AsyncBaseTransport:
        # A proxy of the environment must not carry what stays on this machine.
        trust_env = not is_loopback(urlsplit(self.base_url).hostname or "")
        try:
            return open_transport(kept=kept, trust_env=trust_env, verify=_trusted_authorities())
        except ValueError:
            # Said without the value: a proxy's address may hold its password.
            raise InvalidSettings(
                f"{self.remote}: a proxy in the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) has no usable address",
                next_step="Give it as http://host:port, or unset it.",
            ) from None

    def __repr__(self) -> str:
        return f"RemoteHttp(remote={self.remote!r}, base_url={self.base_url!r}, headers={MASK!r})"

    async def read(
        self,
        method: Method,
        path: str,
        *,
        operation: str,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        timeout: float = READ_TIMEOUT,  # noqa: ASYNC109  httpx's own timeouts need the number
        pace: Pace | None = None,
        urgent: bool = False,
        accept: frozenset[int] = frozenset(),
    ) -> Answer:
        """Ask something that may be asked again: a lost answer means nothing, so it is RemoteUnavailable.

        `accept`: statuses outside 2xx to hand back instead of raising. `timeout` is in seconds, pacing not counted.
        `urgent` goes before what waits for the same pace: for calls that end something which costs money.
        """
        request = self._request(method, path, params, json)
        return await self._paced(
            request, self._call(operation, paid=False), timeout, accept, pace=pace or self._pace, urgent=urgent
        )

    async def act(
        self,
        method: Method,
        path: str,
        *,
        operation: str,
        json: Any = None,
        timeout: float = ACT_TIMEOUT,  # noqa: ASYNC109  httpx's own timeouts need the number
        pace: Pace | None = None,
        secrets: tuple[str, ...] = (),
    ) -> Answer:
        """Do something that must not be done twice: a lost answer is OutcomeUnknown, looked up and never repeated.

        `secrets`: what the body holds that no message may repeat, were the remote to echo it.
        """
        request = self._request(method, path, None, json)
        call = self._call(operation, paid=True, secrets=secrets)
        return await self._paced(request, call, timeout, frozenset(), pace=pace or self._pace)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._kept.aclose()
        await self._fresh.aclose()

    def _request(self, method: Method, path: str, params: Mapping[str, str | int] | None, json: Any) -> httpx.Request:
        url = httpx.URL(self.base_url + path, params=params) if params else _url(self.base_url + path)
        if json is None:
            length = [] if method == "GET" else [(b"Content-Length", b"0")]
            return httpx.Request(method, url, headers=self._headers + length, stream=NOTHING)
        body = encoded(json)
        about = [(b"Content-Type", b"application/json"), (b"Content-Length", str(len(body)).encode())]
        return httpx.Request(method, url, headers=self._headers + about, stream=httpx.ByteStream(body))

    def _call(self, operation: str, *, paid: bool, secrets: tuple[str, ...] = ()) -> Call:
        hidden = self._secrets + secrets
        return Call(remote=self.remote, operation=operation, paid=paid, dialect=self._dialect, secrets=hidden)

    async def _paced(
        self,
        request: httpx.Request,
        call: Call,
        seconds: float,
        accept: frozenset[int],
        *,
        pace: Pace | None,
        urgent: bool = False,
    ) -> Answer:
        """Wait for one's turn, and let the pace learn from a refusal.

        A full agent is no reason to ask for other things more slowly. Where a remote does not say which of the two its
        429 is about, only its Retry-After is heeded.
        """
        if pace is None:
            return await self._send(request, call, seconds, accept)
        sent_at = await pace.wait(self._clock, urgent=urgent)
        try:
            return await self._send(request, call, seconds, accept)
        except RemoteBusy as error:
            if error.capacity is False:
                pace.slow_down(self._clock, sent_at=sent_at)
            if not error.capacity and error.retry_after:
                pace.hold(self._clock, error.retry_after)
            raise

    async def _send(self, request: httpx.Request, call: Call, seconds: float, accept: frozenset[int]) -> Answer:
        exchange = self._exchange(request, call, seconds)
        answer = await (exchange if self.observer is None else self._observed(exchange, call, self.observer))
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES or answer.status in accept:
            return answer
        raise answer.error()

    async def _observed(self, exchange: Awaitable[Answer], call: Call, observer: RequestObserver) -> Answer:
        begun = self._clock.monotonic()
        try:
            answer = await exchange
        except RemoteError:
            observer.request(self.remote, call.operation, None, self._clock.monotonic() - begun)
            raise
        observer.request(self.remote, call.operation, answer.status, self._clock.monotonic() - begun)
        return answer

    async def _exchange(self, request: httpx.Request, call: Call, seconds: float) -> Answer:
        connect = min(self._connect_timeout, seconds)
        request.extensions["timeout"] = {"connect": connect, "pool": connect, "read": seconds, "write": seconds}
        try:
            # httpx limits each wait, not their sum: a server that drips bytes is cut off here.
            async with asyncio.timeout(seconds + 2 * connect):
                return await self._answer(request, call)
        except NEVER_SENT as error:
            raise call.never_sent(_why_unreachable(error)) from None
        except httpx.TimeoutException:
            raise call.lost(f"no whole answer within {seconds:g} s") from None
        except TimeoutError:
            raise call.lost(f"no whole answer within {seconds + 2 * connect:g} s") from None
        except httpx.RequestError as error:
            raise call.lost(f"the connection broke before the whole answer arrived ({type(error).__name__})") from None

    async def _answer(self, request: httpx.Request, call: Call) -> Answer:
        carrier = self._fresh if call.paid else self._kept
        response = await carrier.handle_async_request(request)
        try:
            content = await self._body(response, call)
        finally:
            await response.aclose()
        told = response.headers.get("retry-after")
        wait = retry_after_seconds(told, now=self._clock.now()) if told is not None else None
        return Answer(call=call, status=response.status_code, content=content, retry_after=wait)

    async def _body(self, response: httpx.Response, call: Call) -> bytes:
        if response.is_success:
            return await whole(response, self._answer_limit, too_large=call.too_large)
        return await beginning(response, REFUSAL_LIMIT)


@lru_cache(maxsize=256)
def _url(text: str) -> httpx.URL:
    """Many requests go to few addresses, and httpx takes its time to read one."""
    return httpx.URL(text)


@cache
def _trusted_authorities() -> ssl.SSLContext:
    """The usual TLS verification, read once: the bundle takes 20 ms to parse, and every door needs the same."""
    return httpx.create_ssl_context()


def _why_unreachable(error: Exception) -> str:
    reason = plain(str(error), limit=120)
    return f"no connection ({reason})" if reason else "no connection"


def _checked_headers(headers: Mapping[str, str], *, remote: str) -> Mapping[str, str]:
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            # Said without the value: the HTTP library's own complaint would quote the key.
            raise InvalidSettings(f"{remote}: the key sent as {name} holds a line break or a letter that no key has")
    return headers


def _wire_headers(headers: Mapping[str, str], *, base_url: str) -> Headers:
    """What every request of a door carries, put together once."""
    host = urlsplit(base_url).netloc.rpartition("@")[2]
    usual = {"Host": host, "Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": USER_AGENT}
    return [(name.encode(), value.encode()) for name, value in {**usual, **headers}.items()]


def encoded(body: Any) -> bytes:
    """What goes onto the wire: JSON as httpx writes it: compact, UTF-8, and no number that JSON has not."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _secrets_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """What must never be repeated in a message, longest first: each header's value and its last word."""
    found = {part for value in headers.values() for part in (value, value.split(" ")[-1])}
    return tuple(sorted((part for part in found if len(part) >= SHORTEST_SECRET), key=len, reverse=True))
