"""What carries requests: httpx's own interface of a transport, with aiohttp's connections behind it.

httpx and its pool take 1.0 to 1.7 ms of CPU for a request on a kept connection, and look at every idle connection each
time; aiohttp takes a tenth of a millisecond. Where the environment names a proxy, httpx itself carries the requests.

What counts as never sent decides whether a paid call may be made again, so it is said here, error by error: only while
a connection is being made has nothing been sent. (The library httpx-aiohttp calls a server that hangs up without an
answer a connect timeout, and so could not be used.)
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.request import getproxies

import httpx

if TYPE_CHECKING:
    import aiohttp

MOST_CONNECTIONS: Final = 200
KEPT_SECONDS: Final = 5.0  # that an idle connection is kept
LONGEST_HEADER: Final = 64 * 2**10  # bytes
OWN_HEADERS: Final = frozenset({b"host", b"content-length"})  # the library below writes them


class PooledTransport(httpx.AsyncBaseTransport):
    """Connections to one remote; where they are not `kept`, each request gets one that carried no other."""

    def __init__(self, *, kept: bool, verify: ssl.SSLContext) -> None:
        self._kept = kept
        self._verify = verify
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; the answer's body is read by whoever asked, who also closes it."""
        import yarl

        if self._session is None:
            self._session = self._open()
        timeout = request.extensions["timeout"]
        with _translated():
            response = await self._session.request(
                request.method,
                yarl.URL(str(request.url), encoded=True),
                headers=_headers(request),
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=_limits(timeout["connect"], timeout["pool"], timeout["read"]),
            )
        return httpx.Response(
            response.status, headers=list(response.raw_headers), stream=_Body(response), request=request
        )

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        keeping: dict[str, Any] = {"keepalive_timeout": KEPT_SECONDS} if self._kept else {"force_close": True}
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS, ssl=self._verify, **keeping),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # httpx unpacks, in steps that whoever reads may stop
            trust_env=False,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
        )
        # One call, one request: by itself it sends a GET or DELETE again when a connection breaks. No setting says so.
        session._retry_connection = False  # noqa: SLF001
        return session


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        """Give the connection back where the body was read to its end, else close it."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def open_transport(*, kept: bool, trust_env: bool, verify: ssl.SSLContext) -> httpx.AsyncBaseTransport:
    """The carrier of one remote's requests; ValueError where a proxy of the environment has no usable address."""
    if trust_env and any(scheme != "no" for scheme in getproxies()):
        return _Proxied(kept=kept, verify=verify)
    return PooledTransport(kept=kept, verify=verify)


class _Proxied(httpx.AsyncBaseTransport):
    """httpx with all it knows of proxies in the environment."""

    def __init__(self, *, kept: bool, verify: ssl.SSLContext) -> None:
        limits = httpx.Limits(
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=50 if kept else 0,
            keepalive_expiry=KEPT_SECONDS,
        )
        self._client = httpx.AsyncClient(follow_redirects=False, limits=limits, verify=verify)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._client.send(request, stream=True)

    async def aclose(self) -> None:
        await self._client.aclose()


@contextmanager
def _translated() -> Iterator[None]:
    """The errors of aiohttp as those of httpx."""
    import aiohttp

    try:
        yield
    except aiohttp.ClientConnectorError as error:  # name not found, refused, unreachable, TLS: no connection was made
        raise httpx.ConnectError(_reason(error)) from None
    except aiohttp.ConnectionTimeoutError:
        raise httpx.ConnectTimeout("no connection in time") from None
    except aiohttp.SocketTimeoutError:
        raise httpx.ReadTimeout("no answer in time") from None
    except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError, aiohttp.InvalidURL) as error:
        raise httpx.RemoteProtocolError(type(error).__name__) from None
    except (aiohttp.ClientError, OSError) as error:  # once a connection stands, anything may have been sent
        raise httpx.ReadError(type(error).__name__) from None


def _reason(error: aiohttp.ClientConnectorError) -> str:
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    return error.os_error.strerror or str(error.os_error)


def _headers(request: httpx.Request) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in request.headers.raw if name.lower() not in OWN_HEADERS]


@cache
def _limits(connect: float, pool: float, read: float) -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(total=None, connect=connect + pool, sock_connect=connect, sock_read=read)
