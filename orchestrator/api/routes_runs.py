"""Runs and sessions, each by its own name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from orchestrator.api.body import Route
from orchestrator.api.documents import RunWithSessions, SessionDocument, SessionPage
from orchestrator.api.examples import NONCE
from orchestrator.api.resources import (
    NAME,
    PER_PAGE,
    PREFIX,
    Context,
    Cursor,
    Limit,
    Reader,
    RunId,
    answer,
    problems,
)
from orchestrator.api.routes_batches import named
from orchestrator.app.documents import run_document, session_document
from orchestrator.app.pages import session_page
from orchestrator.app.reading import find_session, run_with_sessions

router = APIRouter(prefix=PREFIX, route_class=Route)

SessionName = Annotated[
    str,
    Path(pattern=NAME, max_length=128, description="Its nonce, or the remote's id.", examples=[NONCE]),
]


@router.get(
    "/runs/{run_id}",
    operation_id="get_run",
    summary="Show a run",
    tags=["runs"],
    response_model=RunWithSessions,
    responses=problems(404),
)
async def get_run(run_id: RunId, _: Reader, context: Context) -> Response:
    """With its timeline, and every session it had, oldest first."""
    run, sessions = await run_with_sessions(context.store, run_id)
    link = context.result_url(run.cekura_result_id) if run.cekura_result_id else None
    return answer({**run_document(run), "result_url": link, "sessions": [session_document(one) for one in sessions]})


@router.get(
    "/sessions",
    operation_id="list_sessions",
    summary="List sessions, newest first",
    tags=["sessions"],
    response_model=SessionPage,
    responses=problems(404),
)
async def list_sessions(
    *,
    _: Reader,
    context: Context,
    batch: Annotated[str | None, Query(pattern=NAME, max_length=64, description="Only this batch's.")] = None,
    pool: Annotated[str | None, Query(pattern=NAME, max_length=80, description="Only this pool's.")] = None,
    unsettled: Annotated[bool, Query(description="Only those with something left to tear down.")] = False,
    limit: Limit = PER_PAGE,
    cursor: Cursor = None,
) -> Response:
    """With how their ends stand, and never with a token."""
    batch_id = None if batch is None else await named(context.store, batch)
    page = await session_page(
        context.store, limit=limit, cursor=cursor, batch_id=batch_id, pool=pool, unsettled=unsettled
    )
    return answer({"sessions": [session_document(one) for one in page.items], "next_cursor": page.next_cursor})


@router.get(
    "/sessions/{session}",
    operation_id="get_session",
    summary="Show a session",
    tags=["sessions"],
    response_model=SessionDocument,
    responses=problems(404),
)
async def show_session(session: SessionName, _: Reader, context: Context) -> Response:
    """With everything known of it, its meeting token excepted."""
    return answer(session_document(await find_session(context.store, session)))
