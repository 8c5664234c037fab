"""Every error as one RFC 9457 document (`application/problem+json`): what is wrong, and what to do next.

A problem's `type` is a stable name, for programs; everything else in it is for people. None holds a body, a key, a
token, a path on this machine or the text of a defect.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from loguru import logger
from starlette.exceptions import HTTPException
from starlette.requests import Request

from orchestrator.domain.errors import (
    BudgetExhausted,
    Conflict,
    InvalidCursor,
    InvalidPlan,
    InvalidSettings,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    OrchestratorError,
    Problem,
    RemoteError,
    StateUnusable,
)

MEDIA_TYPE: Final = "application/problem+json"
URN: Final = "urn:orchestrator:problem:"
MOST_PROBLEMS: Final = 100  # of one plan; a person mends those first
TRY_AGAIN_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: the end of its `type`, its status, and its title in words that never change."""

    name: str
    status: int
    title: str


MALFORMED: Final = Kind("malformed", 400, "The request is not readable JSON")
UNAUTHENTICATED: Final = Kind("unauthenticated", 401, "A valid token is needed")
FORBIDDEN: Final = Kind("forbidden", 403, "The token's scope does not include this")
FOREIGN: Final = Kind("foreign-origin", 403, "Without tokens, only programs of this machine may ask")
NOT_FOUND: Final = Kind("not-found", 404, "There is no such thing")
WRONG_METHOD: Final = Kind("method-not-allowed", 405, "This path does not take this method")
TOO_SLOW: Final = Kind("too-slow", 408, "The request's body took too long")
CONFLICT: Final = Kind("conflict", 409, "It goes against what is there already")
BUDGET: Final = Kind("budget-exhausted", 409, "A limit of money or count was reached")
EXISTS: Final = Kind("exists-already", 412, "There is one of this name already")
TOO_LARGE: Final = Kind("too-large", 413, "The request's body is too large")
WRONG_MEDIA: Final = Kind("unsupported-media-type", 415, "The request's body is not JSON")
INVALID_REQUEST: Final = Kind("invalid-request", 422, "The request has something it should not, or lacks something")
INVALID_PLAN: Final = Kind("invalid-plan", 422, "The plan has problems; nothing was started")
INVALID_DEFINITION: Final = Kind("invalid-definition", 422, "The schedule or pool has problems; nothing was changed")
INVALID_SETTINGS: Final = Kind("invalid-settings", 422, "The service's settings do not allow it; nothing was started")
TOO_MANY: Final = Kind("too-many-requests", 429, "More requests than are allowed")
DEFECT: Final = Kind("defect", 500, "A defect of the orchestrator")
REMOTE: Final = Kind("remote-failed", 502, "A remote did not do what was asked")
STATE: Final = Kind("state-unusable", 503, "The state cannot be used at the moment")
NOT_READY: Final = Kind("not-ready", 503, "The service is not ready")
KINDS: Final = tuple(kind for kind in list(globals().values()) if isinstance(kind, Kind))

# What an error of the family becomes: the first that fits.
FAMILY: Final[Sequence[tuple[type[OrchestratorError], Kind]]] = (
    (InvalidPlan, INVALID_PLAN),
    (InvalidSettings, INVALID_SETTINGS),
    (InvalidCursor, INVALID_REQUEST),
    (NotAuthenticated, UNAUTHENTICATED),
    (NotPermitted, FORBIDDEN),
    (NotFound, NOT_FOUND),
    (Conflict, CONFLICT),
    (BudgetExhausted, BUDGET),
    (StateUnusable, STATE),
    (RemoteError, REMOTE),
)
BY_STATUS: Final[Mapping[int, Kind]] = {400: MALFORMED, 404: NOT_FOUND, 405: WRONG_METHOD}
CHALLENGE: Final = 'Bearer realm="orchestrator"'
NEXT_STEPS: Final[Mapping[Kind, str]] = {
    MALFORMED: "Send one JSON document in UTF-8, with no key given twice and no NaN.",
    NOT_FOUND: "GET /v1/batches, /v1/schedules or /v1/pools lists what there is; /openapi.json lists every path.",
    WRONG_METHOD: "The Allow header names the methods that it takes.",
    DEFECT: "Nothing is known to be lost: what was begun is in the state. The service's log says where it happened.",
}


class Refusal(Exception):
    """An answer that refuses: a kind of problem with what is wrong here and what to do next."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        next_step: str = "",
        headers: Mapping[str, str] | None = None,
        problems: Sequence[Problem] = (),
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.next_step = next_step or NEXT_STEPS.get(kind, "")
        self.headers = dict(headers or {})
        self.problems = tuple(problems)
        self.more = dict(more or {})


def refusal_of(error: Exception) -> Refusal:
    """What an error is to whoever asked; anything that is none of the family is a defect of ours."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, RequestValidationError):
        return _of_validation(error.errors())
    if isinstance(error, HTTPException):
        return _of_status(error)
    if isinstance(error, OrchestratorError):
        return _of_family(error)
    return Refusal(DEFECT, "The request met a defect of the orchestrator.")


def answer_to(error: Exception, *, path: str) -> Response:
    """The problem document as a response."""
    refusal = refusal_of(error)
    kind = refusal.kind
    shown = refusal.problems[:MOST_PROBLEMS]
    left_out = len(refusal.problems) - len(shown)
    document = {
        "type": f"{URN}{kind.name}",
        "title": kind.title,
        "status": kind.status,
        "detail": refusal.detail,
        "instance": quote(path),
        "next_step": refusal.next_step,
        **({"problems": [problem_document(one) for one in shown]} if shown else {}),
        **({"problems_left_out": left_out} if left_out else {}),
        **refusal.more,
    }
    # ASCII: what a caller wrote is quoted in it, and half a character must not break the answer.
    return Response(json.dumps(document), status_code=kind.status, headers=refusal.headers, media_type=MEDIA_TYPE)


async def on_error(request: Request, error: Exception) -> Response:
    """FastAPI's handler of every error that a route may raise on purpose."""
    return answer_to(error, path=request.scope["path"])


def problem_document(problem: Problem) -> dict[str, Any]:
    """One thing wrong with a plan or a request."""
    return {"path": problem.path, "line": problem.line, "message": problem.message, "remedy": problem.remedy}


def retry_after(seconds: float) -> dict[str, str]:
    """The header that says when to ask again: whole seconds, one at least."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _of_family(error: OrchestratorError) -> Refusal:
    kind = next((kind for family, kind in FAMILY if isinstance(error, family)), DEFECT)
    if kind is STATE:
        logger.error("a request found the state unusable", error=str(error))
        return Refusal(
            STATE,
            "The state cannot be read or written at the moment.",
            next_step="Ask again in a moment; the service's log says what is wrong with it.",
            headers=retry_after(TRY_AGAIN_SECONDS),
        )
    if kind is DEFECT:
        return Refusal(DEFECT, "The request met a defect of the orchestrator.")
    if isinstance(error, InvalidPlan):
        count = len(error.problems)
        detail = f"The plan has {count} problem{'s' if count != 1 else ''}."
        return Refusal(kind, detail, next_step=PLAN_STEP, problems=error.problems)
    refusal = Refusal(kind, str(error), next_step="" if kind is NOT_FOUND else error.next_step)
    if kind is UNAUTHENTICATED:
        refusal.headers["WWW-Authenticate"] = CHALLENGE
    return refusal


PLAN_STEP: Final = "Mend what `problems` names; POST /v1/plans/validate checks again without starting anything."


def _of_status(error: HTTPException) -> Refusal:
    kind = BY_STATUS.get(error.status_code)
    if kind is None:
        kind = replace(INVALID_REQUEST, status=error.status_code) if error.status_code < DEFECT.status else DEFECT
    return Refusal(kind, f"{kind.title}.", headers=error.headers)


def _of_validation(errors: Iterable[Mapping[str, Any]]) -> Refusal:
    """What pydantic found, without what was sent: it may be a secret in the wrong place."""
    problems = [
        Problem(path=".".join(str(part) for part in one["loc"]), message=str(one["msg"]), remedy="") for one in errors
    ]
    named = ", ".join(dict.fromkeys(problem.path for problem in problems[:3]))
    return Refusal(
        INVALID_REQUEST,
        f"Not as it should be: {named}{' and more' if len(problems) > len(problems[:3]) else ''}.",
        next_step="Correct what `problems` names; /openapi.json says what each path takes.",
        problems=problems,
    )
