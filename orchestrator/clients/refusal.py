"""What a remote said when it refused: its several body shapes reduced to one short plain text and a code.

Shapes (sources: Cekura's OpenAPI and guides, Pipecat Cloud's OpenAPI and error-codes page, Daily's authentication page,
FastAPI's validation answer for the runner): `{"field": ["msg"]}`, the same nested per list element, a bare list,
`{"detail"}`, `{"errors": {}}`, `{"error", "code"}`, `{"message", "code"}`, `err.issues`, `{"error", "info"}`, HTML,
text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from html import unescape
from http import HTTPStatus
from typing import Any, Final

from orchestrator.domain.errors import (
    OutcomeUnknown,
    RemoteAuthFailed,
    RemoteBusy,
    RemoteError,
    RemoteNotFound,
    RemoteProtocolError,
    RemoteRejected,
    RemoteUnavailable,
)
from orchestrator.domain.secret import MASK

LONGEST_TEXT: Final = 300
DEEPEST: Final = 8
# Keys that only wrap a message; any other key is the name of a field and belongs in the text.
WRAPPERS: Final = frozenset(
    {"error", "message", "detail", "info", "errors", "err", "issues", "non_field_errors", "msg", "title"}
)
SILENT: Final = frozenset({"code", "status", "statusCode"})  # scalars read apart, not messages

_MARKUP: Final = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.DOTALL | re.IGNORECASE)
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title", re.DOTALL | re.IGNORECASE)
_SLUG: Final = re.compile(r"[a-z]+(-[a-z]+)+")
_TOKEN: Final = re.compile(r"eyJ[\w-]{4,}\.[\w.-]+")  # a JSON web token: Daily's meeting tokens are such


def _rate_limit(_code: str) -> bool | None:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one remote speaks: what its codes mean and what a person can do about each kind of refusal."""

    key_advice: str = "Check the key of this remote with `orchestrator doctor`."
    missing_advice: str = "Check the name or id; it may also belong to another account than the key's."
    address_advice: str = "Check the remote's address and try again."
    lookup_advice: str = "Do not send it again: look at the remote first whether it took effect."
    capacity_of: Callable[[str], bool | None] = _rate_limit
    auth_codes: frozenset[str] = frozenset()
    code_advice: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A refusal in plain words: `text` at most 300 characters, `code` empty where none was given."""

    text: str
    code: str = ""


def read_refusal(content: bytes, *, status: int, secrets: Iterable[str] = ()) -> Refusal:
    """Reduce an error body of any shape; falls back to the status's own name."""
    text, code = _words(content.decode("utf-8", errors="replace").strip())
    return Refusal(text=plain(text, secrets=secrets) or _phrase(status), code=code)


def plain(text: str, *, secrets: Iterable[str] = (), limit: int = LONGEST_TEXT) -> str:
    """`text` on one line, printable, without secrets, at most `limit` characters."""
    if not text:
        return ""  # most of what a poll shows
    for secret in secrets:
        text = text.replace(secret, MASK)
    text = _TOKEN.sub(MASK, text)
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= limit else text[: limit - 3].rstrip() + "..."


def error_for(
    *,
    remote: str,
    operation: str,
    dialect: Dialect,
    status: int,
    refusal: Refusal,
    paid: bool,
    retry_after: float | None,
) -> RemoteError:
    """Translate one refused answer; `paid` calls end in OutcomeUnknown where the server failed on the way."""
    said: dict[str, Any] = {"remote": remote, "operation": operation, "detail": refusal.text, "status": status}
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        kind = OutcomeUnknown if paid else RemoteUnavailable
        return kind(**said, next_step=dialect.lookup_advice if paid else dialect.address_advice)
    if status < HTTPStatus.BAD_REQUEST:
        return _unexpected(said, dialect)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} or refusal.code in dialect.auth_codes:
        return RemoteAuthFailed(**said, next_step=dialect.key_advice)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _busy(said, dialect, refusal.code, retry_after)
    if status == HTTPStatus.NOT_FOUND:
        return RemoteNotFound(**said, next_step=dialect.missing_advice)
    return RemoteRejected(**said, next_step=_advice(dialect, refusal.code))


def retry_after_seconds(value: str | None, *, now: datetime) -> float | None:
    """A Retry-After header as seconds from `now`: a number or an HTTP date; None where it is neither."""
    if value is None:
        return None
    if re.fullmatch(r"\s*\d{1,9}(\.\d+)?\s*", value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _busy(said: dict[str, Any], dialect: Dialect, code: str, retry_after: float | None) -> RemoteBusy:
    capacity = dialect.capacity_of(code)
    advice = (
        "The agent is full: wait for sessions to end, raise its maximum, or lower limits.concurrency."
        if capacity
        else "Wait and try again; lower limits.starts_per_second or limits.concurrency if it keeps happening."
    )
    return RemoteBusy(**said, next_step=advice, retry_after=retry_after, capacity=capacity)


def _unexpected(said: dict[str, Any], dialect: Dialect) -> RemoteProtocolError:
    detail = "redirected, which is never followed: a missing trailing slash or a wrong address"
    return RemoteProtocolError(**{**said, "detail": detail}, next_step=dialect.address_advice)


def _advice(dialect: Dialect, code: str) -> str:
    by_code = dialect.code_advice or {}
    return by_code.get(code, "Mend what the remote names; the same request will be refused again.")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "no reason given"


def _words(text: str) -> tuple[str, str]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return _without_markup(text), ""
    return "; ".join(dict.fromkeys(_phrases(body, path="", depth=0))), _code(body)


def _without_markup(text: str) -> str:
    if not text.startswith("<"):
        return text
    title = _TITLE.search(text)
    return unescape(_MARKUP.sub(" ", title.group(1) if title else text))


def _code(body: Any) -> str:
    if not isinstance(body, dict):
        return ""
    code, error = body.get("code"), body.get("error")
    if isinstance(code, str | int):
        return str(code)
    return error if isinstance(error, str) and _SLUG.fullmatch(error) else ""  # Daily's `error` is its code


def _phrases(value: Any, *, path: str, depth: int) -> Iterator[str]:
    """Every message in a body, each with the field it speaks of."""
    if depth > DEEPEST or value is None or isinstance(value, bool):
        return
    if isinstance(value, dict):
        yield from _phrases_of_record(value, path=path, depth=depth)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            counted = path or (depth == 0 and len(value) > 1)  # a bare list of two or more is one of elements
            place = f"{path}[{index}]" if isinstance(item, dict) and counted else path
            yield from _phrases(item, path=place, depth=depth + 1)
    elif str(value).strip():
        yield f"{path}: {value}" if path else str(value)


def _phrases_of_record(record: dict[str, Any], *, path: str, depth: int) -> Iterator[str]:
    place = record.get("loc", record.get("path"))
    if isinstance(place, list):
        # FastAPI and zod name the field beside the message, and FastAPI echoes our input, which may hold a token.
        message = record.get("msg", record.get("message"))
        yield from _phrases(message, path=".".join(str(part) for part in place), depth=depth + 1)
        return
    for key, value in record.items():
        if key in SILENT and not isinstance(value, dict | list):
            continue
        inner = path if key in WRAPPERS else f"{path}.{key}" if path else str(key)
        yield from _phrases(value, path=inner, depth=depth + 1)
