"""Reading an answer's body: to its end or to a limit, and no further.

What counts is what the body swells to: a packed one is unpacked in steps, and whoever reads stops in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import httpx

from orchestrator.domain.errors import RemoteError


async def whole(response: httpx.Response, limit: int, *, too_large: Callable[[int], RemoteError]) -> bytes:
    """The whole body; raises `too_large(limit)` as soon as it is longer than `limit` bytes."""
    content = bytearray()
    async for chunk in _chunks(response):
        content += chunk
        if len(content) > limit:
            raise too_large(limit)
    return bytes(content)


async def beginning(response: httpx.Response, limit: int) -> bytes:
    """The first bytes of an error body: its status already stands, so a broken body changes nothing."""
    content = bytearray()
    try:
        async for chunk in _chunks(response):
            content += chunk
            if len(content) >= limit:
                break
    except httpx.RequestError:
        pass
    return bytes(content[:limit])


def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it comes, or as httpx unpacks it: that costs, and most answers are not packed."""
    if "content-encoding" in response.headers or not isinstance(response.stream, httpx.AsyncByteStream):
        return response.aiter_bytes()
    return aiter(response.stream)
