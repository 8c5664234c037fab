"""Pools: make, list, look, pause. What they keep ready bills while it waits, so all changes are an administrator's."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from orchestrator.api.body import Route
from orchestrator.api.definitions import (
    DefinedName,
    Definition,
    OnlyNew,
    PoolDefinition,
    body_of,
    named,
    only_where_new,
    told_of,
)
from orchestrator.api.documents_service import PoolDetail, PoolList
from orchestrator.api.resources import CREATED, PREFIX, Admin, Context, Reader, TakingIn, answer, problems
from orchestrator.app import pools as cases
from orchestrator.app.pools import PoolView, pool_answer

router = APIRouter(prefix=f"{PREFIX}/pools", tags=["pools"], route_class=Route)


def described(view: PoolView) -> dict[str, Any]:
    """A pool's document with the paths of what belongs to it."""
    own = f"{PREFIX}/pools/{view.pool.name}"
    links = {
        "self": own,
        "sessions": f"{PREFIX}/sessions?pool={view.pool.name}",
        "pause": f"{own}/pause",
        "resume": f"{own}/resume",
    }
    return {**pool_answer(view), "links": links}


async def shown(view: PoolView, *, status: int = 200) -> Response:
    """The same as an answer; a day of sessions is looked through on a thread."""
    document = await asyncio.to_thread(described, view)
    return answer(document, status=status, headers={"Location": document["links"]["self"]} if status == CREATED else {})


@router.get("", operation_id="list_pools", summary="List pools by name", response_model=PoolList, responses=problems())
async def list_pools(_: Reader, context: Context) -> Response:
    """All that there are, each with how many sessions it holds."""
    views = await cases.list_pools(context.store, clock=context.clock)
    return answer({"pools": [described(view) for view in views]})


@router.get(
    "/{name}",
    operation_id="get_pool",
    summary="Show a pool",
    response_model=PoolDetail,
    responses=problems(404),
)
async def get_pool(name: DefinedName, _: Reader, context: Context) -> Response:
    """What waits in it, what waiting cost in its last day, and how the sessions ended that served nobody."""
    return await shown(await cases.show_pool(context.store, name, clock=context.clock))


@router.put(
    "/{name}",
    operation_id="put_pool",
    summary="Make a pool, or change it",
    openapi_extra=body_of(PoolDefinition),
    response_model=PoolDetail,
    responses={201: {"model": PoolDetail, "description": "It was made."}, **problems(409, 412, body=True)},
)
async def put_pool(
    *,
    name: DefinedName,
    data: Definition,
    caller: Admin,
    context: Context,
    intake: TakingIn,
    only_new: OnlyNew = None,
) -> Response:
    """A worker fills it within seconds. After a change its waiting sessions are replaced, and runs keep theirs."""
    with told_of("pool", name=name):
        spec = await intake.read_pool(named(data, name))
        cases.check_size(spec, context.settings.sessions_limit)
    store, clock, actor = context.store, context.clock, caller.actor
    if only_new is not None:
        with only_where_new():
            return await shown(await cases.create_pool(store, spec, clock=clock, actor=actor), status=CREATED)
    view, made = await cases.put_pool(store, spec, clock=clock, actor=actor)
    return await shown(view, status=CREATED if made else 200)


@router.delete(
    "/{name}",
    operation_id="remove_pool",
    summary="Remove a pool",
    status_code=204,
    response_class=Response,
    responses=problems(404, 409),
)
async def remove_pool(name: DefinedName, caller: Admin, context: Context) -> Response:
    """Its waiting sessions are let go within seconds; runs keep theirs."""
    await cases.remove_pool(context.store, name, clock=context.clock, actor=caller.actor)
    return Response(status_code=204)


@router.post(
    "/{name}/pause",
    operation_id="pause_pool",
    summary="Pause a pool",
    response_model=PoolDetail,
    responses=problems(404),
)
async def pause_pool(name: DefinedName, caller: Admin, context: Context) -> Response:
    """Its waiting sessions are let go within seconds, and runs start their own until it is resumed."""
    return await shown(await cases.pause_pool(context.store, name, clock=context.clock, actor=caller.actor))


@router.post(
    "/{name}/resume",
    operation_id="resume_pool",
    summary="Resume a pool",
    response_model=PoolDetail,
    responses=problems(404),
)
async def resume_pool(name: DefinedName, caller: Admin, context: Context) -> Response:
    """A worker fills it again."""
    return await shown(await cases.resume_pool(context.store, name, clock=context.clock, actor=caller.actor))
