"""The published OpenAPI document: FastAPI's, with the scope that each path asks for and no answers that are not ours.

`docs/openapi.json` is a copy kept equal by a test; `python -m orchestrator.api.openapi` prints it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from orchestrator.api.guard import Needs
from orchestrator.domain.access import Scope

TITLE: Final = "Orchestrator"
DESCRIPTION: Final = (
    "Runs Cekura manual-flow tests against Pipecat agents. Every error is a problem document (RFC 9457) that says what "
    "to do next. Times are UTC; durations are seconds."
)


def document() -> dict[str, Any]:
    """The document, without a service."""
    from orchestrator.api.application import routed

    return finished(routed())


def finished(api: FastAPI) -> dict[str, Any]:
    """The document of these routes; made once."""
    if not api.openapi_schema:
        made = get_openapi(title=api.title, version=api.version, description=api.description, routes=api.routes)
        made["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "`orchestrator tokens create` makes one."}
        }
        for route in _routes(api):
            for method in route.methods or ():
                _finish(made["paths"][route.path_format][method.lower()], _scope_of(route.dependant))
        api.openapi_schema = made
    return api.openapi_schema


def document_text() -> str:
    """The document as it is published."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _routes(api: FastAPI) -> Iterator[APIRoute]:
    yield from (route for route in api.routes if isinstance(route, APIRoute))


def _finish(operation: dict[str, Any], scope: Scope | None) -> None:
    if scope is None:
        operation["security"] = []
        return
    operation["security"] = [{"token": []}]
    operation["x-scope"] = scope.value
    operation["description"] = f"{operation.get('description', '')}\n\nAsks for scope `{scope}`.".lstrip()


def _scope_of(dependant: Dependant) -> Scope | None:
    for below in dependant.dependencies:
        if isinstance(below.call, Needs):
            return below.call.scope
    return None


if __name__ == "__main__":
    sys.stdout.write(document_text())
