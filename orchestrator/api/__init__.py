"""The HTTP API of `orchestrator serve`: translates requests, calls app, translates back; holds no rule of its own.

    server          serves the application on the loop that drives batches, and ends it in good order
    application     puts the parts together: `build_api(context)`
    context         what the application is given: the state, the clock, who may enter, how much of it at once
    edge            outermost: a defect, too, is answered; headers that every answer carries
    guard           who asks (bearer token), how often; `Needs` says which scope a route asks for
    body            how large a request may be, and which JSON is taken
    problems        every refusal and error as one RFC 9457 document with what to do next
    events          server-sent events of one batch: one feed, however many listen
    routes_*        one file per resource; each offers a `router`. `resources` is what they share
    documents*      what requests and answers look like; `examples` has one of each
    openapi         that document; `docs/openapi.json` is a copy kept equal by a test

A new resource is a new file of routes, added to `application.ROUTERS`.
"""

from __future__ import annotations

from typing import Any


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document of the API, as it is published."""
    from orchestrator.api.openapi import document

    return document()
