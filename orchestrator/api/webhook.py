"""POST /webhooks/cekura: the door for Cekura's webhooks, opened by a secret that they carry.

Who knocks without it is turned away before a byte of the body is read. Everybody else is told 202, whatever was sent:
another answer could only make Cekura send it again, and nothing would be gained by that.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from orchestrator.api.problems import MEDIA_TYPE, NOT_FOUND, UNAUTHENTICATED, Refusal, answer_to
from orchestrator.app.webhook import Counted, Verdict, receive
from orchestrator.clients.cekura_webhook import LARGEST_BODY, verify
from orchestrator.clock import Clock
from orchestrator.domain.secret import ApiKey
from orchestrator.store.database import Store

PATH: Final = "/webhooks/cekura"
OFF: Final = "Set CEKURA_WEBHOOK_SECRET to the project's webhook secret in Cekura, and start `serve` again."
NOT_CEKURA: Final = "Make the project's webhook secret in Cekura and CEKURA_WEBHOOK_SECRET here the same."
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    202: {
        "description": "Taken: the next poll of the batches it speaks of comes sooner. Or of no use, and harmless.",
        "content": {
            "application/json": {"example": {"verdict": "accepted", "reason": "the next poll comes sooner"}},
        },
    },
    401: {"description": "It does not carry the secret; nothing was read.", "content": {MEDIA_TYPE: {}}},
    404: {"description": "No secret is set here: webhooks are not taken.", "content": {MEDIA_TYPE: {}}},
}
# Whatever Cekura sends is taken, so the schema forbids nothing.
ANY_BODY: Final = {"requestBody": {"required": False, "content": {"application/json": {"schema": {}}}}}

Secret = Annotated[str | None, Header(alias="X-CEKURA-SECRET", description="The project's webhook secret.")]


def webhook_router(*, store: Store, clock: Clock, secret: ApiKey | None, counted: Counted | None = None) -> APIRouter:
    """The route; 404 while `secret` is None. `counted` hears what became of each webhook."""
    router = APIRouter(tags=["webhooks"])

    @router.post(
        PATH,
        status_code=202,
        responses=RESPONSES,
        openapi_extra=ANY_BODY,
        summary="Hear from Cekura that a result is finished",
    )
    async def take(request: Request, presented: Secret = None) -> Response:
        if secret is None:
            return answer_to(Refusal(NOT_FOUND, "Webhooks are not taken here.", next_step=OFF), path=PATH)
        body = await _bounded(request) if verify(secret, presented) else b""
        receipt = await receive(store, clock, secret=secret, presented=presented, body=body, counted=counted)
        if receipt.verdict is Verdict.REFUSED:
            return answer_to(Refusal(UNAUTHENTICATED, f"{receipt.reason}.", next_step=NOT_CEKURA), path=PATH)
        return JSONResponse({"verdict": receipt.verdict.value, "reason": receipt.reason}, status_code=202)

    return router


async def _bounded(request: Request) -> bytes:
    """The body, or as much of it as shows that it is too large; what a caller who hung up did send."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                break
    except ClientDisconnect:
        pass
    return bytes(body)
