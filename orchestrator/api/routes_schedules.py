"""Schedules: make, list, look, pause, fire.

To fire one is to begin a batch, and asks for what that asks for. What decides about batches to come, and so about money
that nobody spends by hand, is an administrator's: to make, change, remove, pause and resume.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from orchestrator.api.body import Route
from orchestrator.api.definitions import (
    DefinedName,
    Definition,
    OnlyNew,
    ScheduleDefinition,
    body_of,
    named,
    only_where_new,
    told_of,
)
from orchestrator.api.documents_service import FireDocument, FireOrder, FirePage, ScheduleDocument, ScheduleList
from orchestrator.api.resources import (
    CREATED,
    PER_PAGE,
    PREFIX,
    Admin,
    Context,
    Cursor,
    Key,
    Limit,
    Reader,
    Runner,
    TakingIn,
    answer,
    problems,
)
from orchestrator.app import schedules as cases
from orchestrator.app.pages import fire_page
from orchestrator.app.schedule_documents import fire_answer, schedule_answer
from orchestrator.app.schedules import ScheduleView

router = APIRouter(prefix=f"{PREFIX}/schedules", tags=["schedules"], route_class=Route)


def described(view: ScheduleView) -> dict[str, Any]:
    """A schedule's document with the paths of what belongs to it."""
    own = f"{PREFIX}/schedules/{view.record.name}"
    links = {"self": own, **{part: f"{own}/{part}" for part in ("fires", "fire", "pause", "resume")}}
    return {**schedule_answer(view), "links": links}


async def shown(view: ScheduleView, *, status: int = 200) -> Response:
    """The same as an answer; its plan is read on a thread."""
    document = await asyncio.to_thread(described, view)
    return answer(document, status=status, headers={"Location": document["links"]["self"]} if status == CREATED else {})


@router.get(
    "",
    operation_id="list_schedules",
    summary="List schedules by name",
    response_model=ScheduleList,
    responses=problems(),
)
async def list_schedules(_: Reader, context: Context) -> Response:
    """All that there are, each with its next fire and its last."""
    views = await cases.list_schedules(context.store, clock=context.clock)
    return answer({"schedules": await asyncio.to_thread(lambda: [described(view) for view in views])})


@router.get(
    "/{name}",
    operation_id="get_schedule",
    summary="Show a schedule",
    response_model=ScheduleDocument,
    responses=problems(404),
)
async def get_schedule(name: DefinedName, _: Reader, context: Context) -> Response:
    """Its rule, when it is due the next ten times, and what became of its latest fires."""
    return await shown(await cases.show_schedule(context.store, name, clock=context.clock))


@router.get(
    "/{name}/fires",
    operation_id="list_fires",
    summary="List the fires of a schedule, newest first",
    response_model=FirePage,
    responses=problems(404),
)
async def list_fires(
    name: DefinedName, _: Reader, context: Context, limit: Limit = PER_PAGE, cursor: Cursor = None
) -> Response:
    """What became of each occurrence, and which batch it made."""
    page = await fire_page(context.store, name, limit=limit, cursor=cursor)
    return answer({"fires": [fire_answer(fire) for fire in page.items], "next_cursor": page.next_cursor})


@router.put(
    "/{name}",
    operation_id="put_schedule",
    summary="Make a schedule, or change it",
    openapi_extra=body_of(ScheduleDefinition),
    response_model=ScheduleDocument,
    responses={
        201: {"model": ScheduleDocument, "description": "It was made."},
        **problems(409, 412, body=True),
    },
)
async def put_schedule(
    *,
    name: DefinedName,
    data: Definition,
    caller: Admin,
    context: Context,
    intake: TakingIn,
    only_new: OnlyNew = None,
) -> Response:
    """Where it is due otherwise than before, it counts from now; a pause stays. The service file's are left alone."""
    with told_of("schedule", name=name):
        schedule = await intake.read_schedule(named(data, name))
    store, clock, actor = context.store, context.clock, caller.actor
    if only_new is not None:
        with only_where_new():
            return await shown(await cases.create_schedule(store, schedule, clock=clock, actor=actor), status=CREATED)
    view, made = await cases.put_schedule(store, schedule, clock=clock, actor=actor)
    return await shown(view, status=CREATED if made else 200)


@router.delete(
    "/{name}",
    operation_id="remove_schedule",
    summary="Remove a schedule",
    status_code=204,
    response_class=Response,
    responses=problems(404, 409),
)
async def remove_schedule(name: DefinedName, caller: Admin, context: Context) -> Response:
    """What waits is left out, open batches go on, its fires are kept."""
    await cases.remove_schedule(context.store, name, clock=context.clock, actor=caller.actor)
    return Response(status_code=204)


@router.post(
    "/{name}/pause",
    operation_id="pause_schedule",
    summary="Pause a schedule",
    response_model=ScheduleDocument,
    responses=problems(404),
)
async def pause_schedule(name: DefinedName, caller: Admin, context: Context) -> Response:
    """Nothing of it fires until it is resumed; open batches go on. The first pause stays."""
    return await shown(await cases.pause_schedule(context.store, name, clock=context.clock, actor=caller.actor))


@router.post(
    "/{name}/resume",
    operation_id="resume_schedule",
    summary="Resume a schedule",
    response_model=ScheduleDocument,
    responses=problems(404),
)
async def resume_schedule(name: DefinedName, caller: Admin, context: Context) -> Response:
    """It fires from now on; what came due while it rested is not made up for."""
    return await shown(await cases.resume_schedule(context.store, name, clock=context.clock, actor=caller.actor))


@router.post(
    "/{name}/fire",
    operation_id="fire_schedule",
    summary="Fire a schedule now",
    status_code=201,
    response_model=FireDocument,
    responses={
        200: {"model": FireDocument, "description": "It was asked for earlier, with the same key."},
        **problems(404, 409, body=True),
    },
)
async def fire_schedule(
    name: DefinedName,
    caller: Runner,
    intake: TakingIn,
    order: Annotated[FireOrder | None, Body()] = None,
    key: Key = None,
) -> Response:
    """Also while it is paused or in a blackout. Beside an open batch of its own, its overlap rule holds."""
    overlap = None if order is None else order.overlap
    fire, new = await intake.fire(name, actor=caller.actor, overlap=overlap, key=key)
    batch = {"Location": f"{PREFIX}/batches/{fire.batch_id}"} if fire.batch_id is not None else {}
    return answer(fire_answer(fire), status=CREATED if new else 200, headers=batch)
