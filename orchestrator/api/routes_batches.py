"""Batches: begin one, list, look, cancel."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Header, Query
from starlette.responses import Response

from orchestrator.api.body import Route
from orchestrator.api.documents import BatchDocument, BatchOrder, BatchPage, CancelOrder, NewBatchDocument, RunPage
from orchestrator.api.documents_report import Report, Statement
from orchestrator.api.events import EventStream, events_of
from orchestrator.api.problems import TOO_MANY, Refusal, retry_after
from orchestrator.api.resources import (
    NAME,
    PER_PAGE,
    PREFIX,
    BatchId,
    Context,
    Cursor,
    Following,
    Key,
    Limit,
    Moment,
    Reader,
    Runner,
    TakingIn,
    answer,
    problems,
)
from orchestrator.app.batches import LATEST, BatchView, resolve_batch_id, view_batch
from orchestrator.app.documents import batch_document, run_document
from orchestrator.app.intake import PlanText
from orchestrator.app.pages import batch_page, run_page
from orchestrator.app.reading import batch_with_totals
from orchestrator.app.report import report_document
from orchestrator.app.statement import teardown_statement
from orchestrator.domain.batch import Batch, BatchStatus, Origin, Totals
from orchestrator.domain.errors import BudgetExhausted
from orchestrator.store.database import Store

LARGEST_REVISION: Final = 2**31 - 1
BUSY_SECONDS: Final = 10.0
NO_REASON: Final = "asked for over HTTP"

router = APIRouter(prefix=f"{PREFIX}/batches", tags=["batches"], route_class=Route)

Name = Annotated[str | None, Query(pattern=NAME, max_length=128)]


def described(batch: Batch, totals: Totals) -> dict[str, Any]:
    """A batch's document with the paths of what belongs to it."""
    own = f"{PREFIX}/batches/{batch.batch_id}"
    parts = ("runs", "report", "teardown", "events", "cancel")
    return {**batch_document(batch, totals), "links": {"self": own, **{part: f"{own}/{part}" for part in parts}}}


@router.post(
    "",
    operation_id="create_batch",
    summary="Begin a batch",
    status_code=201,
    response_model=NewBatchDocument,
    responses={
        200: {"model": NewBatchDocument, "description": "It was begun earlier, with the same key and plan."},
        **problems(409, body=True),
    },
)
async def create_batch(
    order: BatchOrder, caller: Runner, context: Context, intake: TakingIn, key: Key = None
) -> Response:
    """Commit a batch that waits for a worker. Nothing was started when it is refused."""
    plan = PlanText(text=order.plan_yaml, data=order.plan, name=order.name)
    taken = await intake.begin(plan, actor=caller.actor, key=key, speed=order.speed)
    document = described(*await batch_with_totals(context.store, taken.batch.batch_id))
    return answer(
        {**document, "warnings": list(taken.warnings)},
        status=201 if taken.created else 200,
        headers={"Location": document["links"]["self"]},
    )


@router.get(
    "",
    operation_id="list_batches",
    summary="List batches, newest first",
    response_model=BatchPage,
    responses=problems(),
)
async def list_batches(
    *,
    _: Reader,
    context: Context,
    status: BatchStatus | None = None,
    name: Name = None,
    schedule: Name = None,
    origin: Origin | None = None,
    since: Annotated[Moment | None, Query(description="Created then or later; with its timezone.")] = None,
    until: Annotated[Moment | None, Query(description="Created before then.")] = None,
    limit: Limit = PER_PAGE,
    cursor: Cursor = None,
) -> Response:
    """Only those that fit every filter given."""
    page = await batch_page(
        context.store,
        limit=limit,
        cursor=cursor,
        status=status,
        name=name,
        schedule=schedule,
        origin=origin,
        since=since,
        until=until,
    )
    return answer(
        {"batches": [described(batch, totals) for batch, totals in page.items], "next_cursor": page.next_cursor}
    )


@router.get(
    "/{batch_id}",
    operation_id="get_batch",
    summary="Show a batch",
    response_model=BatchDocument,
    responses=problems(404),
)
async def get_batch(batch_id: BatchId, _: Reader, context: Context) -> Response:
    """How it stands, with its totals."""
    return answer(described(*await batch_with_totals(context.store, await named(context.store, batch_id))))


@router.get(
    "/{batch_id}/runs",
    operation_id="list_runs",
    summary="List the runs of a batch, in order",
    response_model=RunPage,
    responses=problems(404),
)
async def list_runs(
    batch_id: BatchId, _: Reader, context: Context, limit: Limit = PER_PAGE, cursor: Cursor = None
) -> Response:
    """Each as it is now."""
    whole, _totals = await batch_with_totals(context.store, await named(context.store, batch_id))
    page = await run_page(context.store, whole.batch_id, limit=limit, cursor=cursor)
    return answer({"runs": [run_document(run) for run in page.items], "next_cursor": page.next_cursor})


@router.get(
    "/{batch_id}/report",
    operation_id="get_report",
    summary="Report on a batch",
    response_model=Report,
    responses=problems(404),
)
async def get_report(batch_id: BatchId, _: Reader, context: Context) -> Response:
    """The document that `orchestrator run --json` ends with; of an open batch, as far as it has come."""
    view = await _view(context.store, batch_id)
    return answer(await asyncio.to_thread(report_document, view, result_url=context.result_url))


@router.get(
    "/{batch_id}/teardown",
    operation_id="get_teardown",
    summary="State how everything was torn down",
    response_model=Statement,
    responses=problems(404),
)
async def get_teardown(batch_id: BatchId, _: Reader, context: Context) -> Response:
    """Every session and room that the batch caused: confirmed gone, or what ends it and when."""
    view = await _view(context.store, batch_id)
    return answer(await asyncio.to_thread(teardown_statement, view.sessions, view.submissions))


@router.get(
    "/{batch_id}/events",
    operation_id="follow_batch",
    summary="Follow a batch",
    status_code=200,
    response_class=EventStream,
    responses={
        200: {
            "description": "`batch` when it changes, `run` for each run that changed, `end` once it is closed.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems(404),
    },
)
async def follow_batch(
    batch_id: BatchId,
    _: Reader,
    context: Context,
    feeds: Following,
    last_event_id: Annotated[
        int | None, Query(ge=0, le=LARGEST_REVISION, description="As the header, for who cannot send one.")
    ] = None,
    last_event_header: Annotated[
        int | None,
        Header(alias="Last-Event-ID", ge=0, le=LARGEST_REVISION, description="The `id` seen last: go on from there."),
    ] = None,
) -> Response:
    """Server-sent events. Every stream begins with a `batch` event; a run is told of once for each look at it."""
    after = last_event_id if last_event_header is None else last_event_header
    events = events_of(feeds, await named(context.store, batch_id), after=after, describe=described)
    try:
        return EventStream(await anext(events), events)
    except BudgetExhausted as error:
        headers = retry_after(BUSY_SECONDS)
        raise Refusal(TOO_MANY, f"{error}.", next_step=error.next_step, headers=headers) from None


@router.post(
    "/{batch_id}/cancel",
    operation_id="cancel_batch",
    summary="Cancel a batch",
    status_code=202,
    response_model=BatchDocument,
    responses=problems(404, 409, body=True),
)
async def cancel_batch(
    batch_id: BatchId,
    caller: Runner,
    context: Context,
    intake: TakingIn,
    order: Annotated[CancelOrder | None, Body()] = None,
) -> Response:
    """Commit the wish: its driver sees it within a second, ends what goes on and tears everything down."""
    wish = order or CancelOrder()
    name = await named(context.store, batch_id)
    await intake.cancel(name, actor=caller.actor, reason=wish.reason or NO_REASON, drains=wish.drain)
    return answer(described(*await batch_with_totals(context.store, name)), status=202)


async def named(store: Store, batch_id: str) -> str:
    """The id that a caller means: `latest` is the newest there is."""
    return await resolve_batch_id(store, LATEST) if batch_id == LATEST else batch_id


async def _view(store: Store, batch_id: str) -> BatchView:
    return await view_batch(store, await named(store, batch_id))
