"""The service itself: whether it lives and is ready, its metrics, its audit, and who it takes a caller for."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from orchestrator import __version__
from orchestrator.api.body import Route
from orchestrator.api.context import FINE
from orchestrator.api.documents import Alive, AuditPage, Problem, Readiness, Whoami, WorkerList
from orchestrator.api.problems import NOT_FOUND, NOT_READY, TRY_AGAIN_SECONDS, Refusal, retry_after
from orchestrator.api.resources import PER_PAGE, PREFIX, Admin, Context, Cursor, Limit, Reader, answer, problems
from orchestrator.app.documents import worker_document
from orchestrator.app.pages import audit_page
from orchestrator.app.reading import latest_workers
from orchestrator.domain.errors import OrchestratorError

READY_SECONDS: Final = 5.0
PRINTABLE: Final = r"^[!-~]+$"

router = APIRouter(tags=["service"], route_class=Route)

Named = Annotated[str | None, Query(pattern=PRINTABLE, max_length=128)]


@router.get(
    "/livez",
    operation_id="livez",
    summary="Is the process alive?",
    response_model=Alive,
    responses={429: {"model": Problem, "description": "Asked too often."}},
)
async def livez() -> Response:
    """It answers; nothing else is asked. Needs no token."""
    return answer({"status": "alive", "version": __version__})


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Is the service ready?",
    response_model=Readiness,
    responses={
        429: {"model": Problem, "description": "Asked too often."},
        503: {"model": Problem, "description": "Some part is not; `checks` says which."},
    },
)
async def readyz(context: Context) -> Response:
    """Each part is really asked. Needs no token, and tells no more than which part is not ready."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            checks = dict(await context.ready())
    except TimeoutError:
        raise _not_ready({"service": f"did not answer within {READY_SECONDS:g} s"}) from None
    except OrchestratorError as error:
        raise _not_ready({"service": type(error).__name__}) from error
    if any(said != FINE for said in checks.values()):
        raise _not_ready(checks)
    return answer({"status": "ready", "checks": checks})


def _not_ready(checks: dict[str, str]) -> Refusal:
    wrong = ", ".join(name for name, said in checks.items() if said != FINE)
    return Refusal(
        NOT_READY,
        f"Not ready: {wrong}.",
        next_step="Wait and ask again; the service's log says what is wrong.",
        headers=retry_after(TRY_AGAIN_SECONDS),
        more={"checks": checks},
    )


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "The exposition.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems(404),
    },
)
async def metrics(_: Reader, context: Context) -> Response:
    """What docs/operations.md explains; a scraper needs a token of scope `read` where the service has tokens."""
    if context.metrics is None:
        raise Refusal(NOT_FOUND, "This service keeps no metrics.")
    body, media_type = context.metrics()
    return Response(body, headers={"Content-Type": media_type})


@router.get(f"{PREFIX}/whoami", operation_id="whoami", summary="Who am I?", response_model=Whoami, responses=problems())
async def whoami(caller: Reader) -> Response:
    """The caller as the audit names them, and what their token is good for."""
    return answer({"actor": caller.actor, "scope": caller.scope.value})


@router.get(
    f"{PREFIX}/workers",
    operation_id="list_workers",
    summary="List workers, newest first",
    response_model=WorkerList,
    responses=problems(),
)
async def list_workers(_: Reader, context: Context) -> Response:
    """Those that share the state, and how each stands."""
    found = await latest_workers(context.store, now=context.clock.now())
    return answer({"workers": [worker_document(worker, status) for worker, status in found]})


@router.get(
    f"{PREFIX}/audit",
    operation_id="list_audit",
    summary="List the audit, newest first",
    response_model=AuditPage,
    responses=problems(),
)
async def list_audit(
    _: Admin,
    context: Context,
    target: Named = None,
    actor: Named = None,
    limit: Limit = PER_PAGE,
    cursor: Cursor = None,
) -> Response:
    """Who began, cancelled, paused and fired what; who made and revoked tokens. Nothing in it ever changes."""
    page = await audit_page(context.store, limit=limit, cursor=cursor, target=target, actor=actor)
    entries = [
        {
            "id": one.entry_id,
            "at": one.at.isoformat(),
            "actor": one.actor,
            "action": one.action,
            "target": one.target,
            "detail": dict(one.detail),
        }
        for one in page.items
    ]
    return answer({"entries": entries, "next_cursor": page.next_cursor})
