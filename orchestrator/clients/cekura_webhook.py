"""Cekura's webhooks as values: which result and which runs one of them speaks of, and whether Cekura sent it at all.

A webhook carries a static secret: no signature, no time, so one can be repeated by whoever saw it. Nothing it says of
how a run came out is read here. It names what to look at, and a poll decides.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.clients.refusal import plain
from orchestrator.clients.wire import list_of, record_of, text_of, whole_number
from orchestrator.domain.secret import ApiKey

LARGEST_BODY: Final = 4 << 20  # bytes; a result of dozens of runs carries all their transcripts
MOST_RUNS: Final = 500  # ids taken from one webhook; its result's id speaks for the others
LARGEST_ID: Final = (1 << 63) - 1  # what a database keeps
LONGEST_EVENT: Final = 80  # characters
PRE_TRIGGER: Final = "result.pre_trigger"  # a result was made, its calls have not begun
OF_RESULTS: Final = "result."
OF_CALL_LOGS: Final = "call_log."  # observability: other numbers, which may equal those of results and runs


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookNews:
    """What a webhook is about. `event` is Cekura's own word, at most 80 characters."""

    event: str
    cekura_result_id: int | None = None
    cekura_run_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a webhook's body says nothing to us."""

    reason: str


def verify(secret: ApiKey, presented: str | None) -> bool:
    """Whether a webhook's header holds the secret; its time does not depend on where the two differ."""
    if presented is None or not secret:
        return False
    return hmac.compare_digest(_header_bytes(secret.reveal()), _sent_bytes(presented))


def read_webhook(body: bytes) -> WebhookNews | Unreadable:
    """Read a webhook of any event; never raises. What nobody documents is left out, not guessed."""
    if len(body) > LARGEST_BODY:
        return Unreadable(f"it is larger than {LARGEST_BODY} bytes")
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return Unreadable("it is not JSON")
    if not isinstance(message, dict):
        return Unreadable("it is not a JSON object")
    event = plain(text_of(message.get("event_type")), limit=LONGEST_EVENT)
    if not event:
        return Unreadable("it names no event")
    data = record_of(message.get("data"))
    if event.startswith(OF_CALL_LOGS):
        return WebhookNews(event=event)
    return WebhookNews(
        event=event,
        cekura_result_id=_id(data.get("id" if event.startswith(OF_RESULTS) else "result_id")),
        cekura_run_ids=tuple(_first(_run_ids(data), MOST_RUNS)),
    )


def _run_ids(data: Mapping[str, Any]) -> Iterator[int]:
    """The runs' ids: the keys of an object and those inside, for the documented samples disagree; or an array's."""
    runs = data.get("runs")
    items = runs.items() if isinstance(runs, dict) else ((None, run) for run in list_of(runs))
    for key, run in items:
        for value in (run.get("id") if isinstance(run, dict) else run, key):
            found = _id(value)
            if found is not None:
                yield found


def _first(ids: Iterator[int], most: int) -> Iterator[int]:
    """Each id once, in the order they came."""
    seen: set[int] = set()
    for one in ids:
        if len(seen) == most:
            return
        if one not in seen:
            seen.add(one)
            yield one


def _id(value: Any) -> int | None:
    found = whole_number(value)
    return found if found is not None and 0 < found <= LARGEST_ID else None


def _header_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _sent_bytes(presented: str) -> bytes:
    """The header's bytes as they were sent: a server reads each of them as one letter of Latin-1."""
    try:
        return presented.encode("latin-1")
    except UnicodeEncodeError:
        return _header_bytes(presented)
