"""Puts the API together: its layers from the outside in, its routes, and how errors are answered."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from orchestrator import __version__
from orchestrator.api import routes_batches, routes_plans, routes_pools, routes_runs, routes_schedules, routes_service
from orchestrator.api.body import BoundedBody
from orchestrator.api.context import ApiContext
from orchestrator.api.edge import Edge
from orchestrator.api.guard import OWN_SECRET, Guard
from orchestrator.api.openapi import DESCRIPTION, TITLE, finished
from orchestrator.api.problems import WRONG_METHOD, Refusal, on_error
from orchestrator.api.webhook import webhook_router
from orchestrator.app.following import Feeds
from orchestrator.app.intake import Intake
from orchestrator.domain.errors import OrchestratorError

ROUTERS: Final[tuple[APIRouter, ...]] = (
    routes_batches.router,
    routes_runs.router,
    routes_plans.router,
    routes_schedules.router,
    routes_pools.router,
    routes_service.router,
)
PREFLIGHT_SECONDS: Final = 600


def build_api(context: ApiContext) -> FastAPI:
    """The application, ready to be served. Whoever serves it ends its streams with `app.state.feeds.close()`."""
    api = routed(middleware=_layers(context))
    taken = webhook_router(
        store=context.store,
        clock=context.clock,
        secret=context.settings.cekura_webhook_secret,
        counted=context.webhook_counted,
    )
    api.include_router(taken, include_in_schema=False)  # Cekura's door, and nobody else's
    api.state.context = context
    api.state.feeds = Feeds(context.store, most=context.limits.listeners)
    api.state.intake = Intake(
        store=context.store,
        clock=context.clock,
        settings=context.settings,
        variables=context.variables,
        wake=context.wake,
        speed=context.speed,
        resolve=context.resolve,
    )
    return api


def routed(*, middleware: list[Middleware] | None = None) -> FastAPI:
    """The routes and how they answer errors, without anything that they would work on."""
    api = FastAPI(
        title=TITLE,
        version=__version__,
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=middleware or [],
    )
    for router in ROUTERS:
        api.router.routes += router.routes  # as they are: `include_router` works each out anew, 4 ms apiece
    for error in (OrchestratorError, Refusal, RequestValidationError, HTTPException):
        api.add_exception_handler(error, on_error)
    api.add_exception_handler(WRONG_METHOD.status, _on_wrong_method)

    async def openapi(_: Request) -> Response:
        return JSONResponse(finished(api, ROUTERS))

    api.add_route("/openapi.json", openapi, include_in_schema=False)
    return api


async def _on_wrong_method(request: Request, error: Exception) -> Response:
    """With every method that the path takes: the library names those of one route only."""
    response = await on_error(request, error)
    routes = (route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute))
    taken = {
        method for route in routes if route.path_regex.match(request.scope["path"]) for method in route.methods or ()
    }
    if taken:
        response.headers["Allow"] = ", ".join(sorted(taken))
    return response


def _layers(context: ApiContext) -> list[Middleware]:
    """From the outside in: everything passes the edge; a body is read only for a caller who was let in."""
    limits = context.limits
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(limits.origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID"],
        expose_headers=["Location", "Retry-After"],
        max_age=PREFLIGHT_SECONDS,
    )
    return [
        Middleware(Edge, told=context.answered),
        *([cors] if limits.origins else []),
        Middleware(Guard, context=context),
        Middleware(BoundedBody, most_bytes=limits.body_bytes, seconds=limits.body_seconds, but=OWN_SECRET),
    ]
