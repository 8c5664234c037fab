"""Posting one notice: to Slack as it is, to any other receiver signed as Standard Webhooks says.

The scheme is that of the specification, version 1.0.0 (standard-webhooks/standard-webhooks, spec/standard-webhooks.md):
the headers webhook-id, webhook-timestamp (Unix seconds of this try) and webhook-signature, which is `v1,` and the
base64 of an HMAC-SHA256 over id, timestamp and body, joined by dots. The key is base64 in the secret, with or without
`whsec_` before it. It names the statuses, too: 2xx is taken, a redirect is not followed, Retry-After is heeded.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from orchestrator.clients.http import Answer as Answered
from orchestrator.clients.http import AnswerTooLarge, RemoteHttp, encoded
from orchestrator.clients.refusal import plain
from orchestrator.clock import Clock
from orchestrator.domain.errors import InvalidSettings, RemoteError
from orchestrator.domain.notice import Delivery, DeliveryResult, NoticeKind
from orchestrator.domain.secret import Secret

TIMEOUT: Final = 10.0  # seconds for a whole try
CONNECT_TIMEOUT: Final = 5.0
ANSWER_LIMIT: Final = 64 * 2**10  # bytes; nobody reads them
ANY_STATUS: Final = frozenset(range(300, 600))
ASK_AGAIN: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
SLACKS_WORD: Final = re.compile(rb"[a-z]{2,20}(_[a-z]{2,20}){1,5}")  # how Slack says why: `channel_is_archived`


async def post_notice(
    document: Mapping[str, Any],
    *,
    kind: NoticeKind,
    url: Secret,
    key: bytes | None,
    notice_id: str,
    clock: Clock,
) -> Delivery:
    """POST a notice once; whatever comes of it is a Delivery.

    It may be repeated: its id lets the receiver drop that, so a lost answer means that it is sent again. Its row was
    committed with the end of its batch, the try before it was made; whoever claims it after our death sends it.
    """
    address = url.reveal()
    parts = urlsplit(address)
    headers = {} if key is None else signed_headers(key, notice_id, int(clock.now().timestamp()), encoded(document))
    try:
        door = RemoteHttp(
            remote=kind.value,
            base_url=f"{parts.scheme}://{parts.netloc}",
            headers=headers,
            clock=clock,
            connect_timeout=CONNECT_TIMEOUT,
            answer_limit=ANSWER_LIMIT,
        )
    except InvalidSettings as error:  # it says no value: of a proxy's address, or of this one
        return Delivery(result=DeliveryResult.FAILED, trouble=_quiet(str(error), address))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        async with asyncio.timeout(TIMEOUT):
            answer = await door.read(
                "POST", path, operation="notice", json=document, timeout=TIMEOUT, accept=ANY_STATUS
            )
    except AnswerTooLarge:
        return Delivery(result=DeliveryResult.SENT)  # only of an answer that took it is more than the beginning read
    except RemoteError as error:
        return Delivery(result=DeliveryResult.FAILED, trouble=_quiet(error.detail, address))
    except TimeoutError:
        return Delivery(result=DeliveryResult.FAILED, trouble=f"no whole answer within {TIMEOUT:g} s")
    finally:
        await door.aclose()
    return _read(answer, kind)


def signed_headers(key: bytes, notice_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers that let a receiver know who sent these bytes, and when (Unix seconds)."""
    signed = b".".join((notice_id.encode(), str(timestamp).encode(), body))
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def _read(answer: Answered, kind: NoticeKind) -> Delivery:
    status = answer.status
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return Delivery(result=DeliveryResult.SENT)
    word = SLACKS_WORD.fullmatch(answer.content.strip()) if kind is NoticeKind.SLACK else None
    said = f"HTTP {status}" + (f" ({word[0].decode()})" if word else "")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in ASK_AGAIN:
        return Delivery(result=DeliveryResult.FAILED, trouble=said, retry_after=answer.retry_after)
    if status < HTTPStatus.BAD_REQUEST:
        said += ": a redirect, which is never followed"
    return Delivery(result=DeliveryResult.REFUSED, trouble=said)


def _quiet(text: str, address: str) -> str:
    """What went wrong, with nothing of the address in it."""
    parts = urlsplit(address)
    port = str(parts.port) if parts.port is not None else ""
    return plain(text, secrets=[one for one in (address, parts.netloc, parts.hostname, port) if one])
