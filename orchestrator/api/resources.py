"""What every route has in common: its context, its caller, the problems it may answer, the page it may be asked for."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Path, Query
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BeforeValidator
from starlette.requests import Request

from orchestrator.api.context import ApiContext
from orchestrator.api.documents import Problem
from orchestrator.api.guard import Needs
from orchestrator.app.following import Feeds
from orchestrator.app.intake import Intake
from orchestrator.domain.access import Caller, Scope

PREFIX: Final = "/v1"
MOST_PER_PAGE: Final = 500
PER_PAGE: Final = 50
CREATED: Final = 201
KEY: Final = r"^[!-~]+$"
LONGEST_KEY: Final = 120
MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")
NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._:-]*$"


async def _context(request: Request) -> ApiContext:
    context: ApiContext = request.app.state.context
    return context


async def _intake(request: Request) -> Intake:
    intake: Intake = request.app.state.intake
    return intake


async def _feeds(request: Request) -> Feeds:
    feeds: Feeds = request.app.state.feeds
    return feeds


Context = Annotated[ApiContext, Depends(_context)]
TakingIn = Annotated[Intake, Depends(_intake)]
Following = Annotated[Feeds, Depends(_feeds)]
Reader = Annotated[Caller, Depends(Needs(Scope.READ))]
Runner = Annotated[Caller, Depends(Needs(Scope.RUN))]
Admin = Annotated[Caller, Depends(Needs(Scope.ADMIN))]


def _written_out(value: object) -> object:
    """Numbers are taken for seconds since 1970 otherwise, or for milliseconds, as they are large."""
    if not isinstance(value, str) or not MOMENT.match(value):
        message = "must be a moment with its timezone, such as 2026-11-25T09:30:00Z"
        raise ValueError(message)
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
Cursor = Annotated[
    str | None, Query(max_length=1000, description="`next_cursor` of the page before; without it, the list begins.")
]
Limit = Annotated[int, Query(ge=1, le=MOST_PER_PAGE, description="How many to a page.")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=KEY,
        max_length=LONGEST_KEY,
        description="Of your own making: asked again with it, the same order is carried out once.",
        examples=["release-2026-11-25"],
    ),
]
BatchId = Annotated[
    str, Path(pattern=NAME, max_length=64, description="A batch's id, or `latest`.", examples=["latest"])
]
RunId = Annotated[
    str,
    Path(pattern=NAME, max_length=64, description="A run's id: the batch's and its index.", examples=["20261125-001"]),
]


def answer(document: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> JSONResponse:
    """A document as it is, the same as `--json` prints."""
    return JSONResponse(document, status_code=status, headers=headers)


def problems(*statuses: int, body: bool = False) -> dict[int | str, dict[str, Any]]:
    """The problems that a route documents: those of every route, and its own; with `body`, those of what is sent."""
    common = {401, 403, 413, 422, 429, 503}
    of_body = {400, 408, 415} if body else set()
    return {
        status: {"model": Problem, "description": MEANINGS[status]} for status in sorted({*common, *of_body, *statuses})
    }


MEANINGS: Final = {
    400: "The body is not readable JSON.",
    401: "No token, or none that opens anything.",
    403: "The token's scope does not include this.",
    404: "There is no such thing.",
    408: "The body took too long.",
    409: "It goes against what is there already.",
    412: "There is one of this name already.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "Something is not as it should be; `problems` names everything.",
    429: "More than is allowed at once; Retry-After says how long to wait.",
    503: "The state cannot be used at the moment.",
}
