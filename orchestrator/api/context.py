"""What the API is given by whoever serves it; nothing here is looked up anywhere else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.app.access import Gatekeeper
from orchestrator.app.selection import unable
from orchestrator.app.webhook import Counted
from orchestrator.clock import Clock
from orchestrator.engine.firing import Resolve
from orchestrator.settings import Settings
from orchestrator.store.database import Store

FINE: Final = "ok"
Ready = Callable[[], Awaitable[Mapping[str, str]]]
Metrics = Callable[[], tuple[bytes, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLimits:
    """How much of the service anybody may have at once.

    `body_bytes` and `body_seconds` bound one request's body. A token may send `requests_per_second`, and `burst` at
    once; an address without a valid one `strangers_per_second` and `strangers_burst`. `listeners` may follow events
    at once. Pages of `origins` may call from a browser (CORS); none may by default.
    """

    body_bytes: int = 2 * 1024 * 1024
    body_seconds: float = 30.0
    requests_per_second: float = 20.0
    burst: int = 60
    strangers_per_second: float = 2.0
    strangers_burst: int = 20
    listeners: int = 200
    origins: tuple[str, ...] = ()


async def nothing_to_ask() -> Mapping[str, str]:
    """The answer of a service that has nothing that could be unready."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiContext:
    """The parts of a serving process that the API needs.

    `variables` are those that plans may read. Without a `gatekeeper` everybody is let in as an administrator: only for
    loopback, where whoever comes is on this machine; with `open_until_token` that lasts until there is a token. `ready`
    asks each part by name: FINE, or what is wrong. `metrics` returns the exposition and its media type. `wake`: a batch
    was created, the dispatcher may look now. `speed` is the worker's: what is fired by hand runs at it.
    `webhook_counted` hears what became of each webhook of Cekura's, and `answered` of each answer (see `Edge`).
    `result_url`: where a person looks at a Cekura result, as far as known. `resolve` asks Cekura what a plan selects.
    """

    store: Store
    clock: Clock
    settings: Settings
    variables: Mapping[str, str]
    gatekeeper: Gatekeeper | None
    open_until_token: bool = False
    ready: Ready = nothing_to_ask
    metrics: Metrics | None = None
    wake: Callable[[], None] = lambda: None
    speed: float = 1.0
    webhook_counted: Counted | None = None
    answered: Callable[[str, str, int, float], None] | None = None
    result_url: Callable[[int], str | None] = lambda _result_id: None
    resolve: Resolve = unable
    limits: ApiLimits = field(default_factory=ApiLimits)
