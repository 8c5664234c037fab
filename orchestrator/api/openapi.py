"""The published OpenAPI document: FastAPI's, with the scope that each path asks for and no answers that are not ours.

`docs/openapi.json` is a copy kept equal by a test; `python -m orchestrator.api.openapi` prints it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from orchestrator.api.definitions import definition_schemas
from orchestrator.api.examples import EXAMPLES
from orchestrator.api.guard import Needs
from orchestrator.api.problems import MEDIA_TYPE
from orchestrator.domain.access import Scope

TITLE: Final = "Orchestrator"
DESCRIPTION: Final = (
    "Runs Cekura manual-flow tests against Pipecat agents. Every error is a problem document (RFC 9457) that says what "
    "to do next. Times are UTC; durations are seconds."
)

FIRST_ERROR: Final = 400


def document() -> dict[str, Any]:
    """The document, without a service."""
    from orchestrator.api.application import ROUTERS, routed

    return finished(routed(), ROUTERS)


def finished(api: FastAPI, routers: Iterable[APIRouter]) -> dict[str, Any]:
    """The document of these routes; made once."""
    if not api.openapi_schema:
        made = get_openapi(title=api.title, version=api.version, description=api.description, routes=api.routes)
        made["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "`orchestrator tokens create` makes one."}
        }
        made["components"]["schemas"] |= definition_schemas()
        # Not in the models: FastAPI leaves every null out of an example.
        for name, example in EXAMPLES.items():
            made["components"]["schemas"][name]["examples"] = [example]
        for route in (one for router in routers for one in router.routes if isinstance(one, APIRoute)):
            for method in route.methods or ():
                _finish(made["paths"][route.path_format][method.lower()], _scope_of(route.dependant))
        api.openapi_schema = made
    return api.openapi_schema


def document_text() -> str:
    """The document as it is published."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _finish(operation: dict[str, Any], scope: Scope | None) -> None:
    """Say which scope is asked for, that errors are problem documents, and that no parameter is null."""
    operation["security"] = [] if scope is None else [{"token": []}]
    if scope is not None:
        operation["x-scope"] = scope.value
        operation["description"] = f"{operation.get('description', '')}\n\nAsks for scope `{scope}`.".lstrip()
    for status, response in operation["responses"].items():
        if int(status) >= FIRST_ERROR:
            response["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for parameter in operation.get("parameters", ()):
        match parameter["schema"]:
            case {"anyOf": [kind, {"type": "null"}], **rest}:
                parameter["schema"] = {**kind, **rest}


def _scope_of(dependant: Dependant) -> Scope | None:
    for below in dependant.dependencies:
        if isinstance(below.call, Needs):
            return below.call.scope
    return None


if __name__ == "__main__":
    sys.stdout.write(document_text())
