"""Cekura's webhooks taken as `serve` takes them: our own route behind a real port, in this process and on its loop."""

import asyncio
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from orchestrator.api.webhook import PATH, webhook_router
from orchestrator.app.webhook import Receipt
from orchestrator.domain.secret import ApiKey

SECRET = ApiKey("whsec_sandbox")


@dataclass
class Receiver:
    """Where webhooks are to be sent, and what became of each; it takes them once it has a store."""

    url: str = ""
    receipts: list[Receipt] = field(default_factory=list)
    app: FastAPI = field(default_factory=FastAPI)

    def serve(self, store: Any, clock: Any, *, secret: ApiKey | None = SECRET) -> None:
        self.app.include_router(webhook_router(store=store, clock=clock, secret=secret, counted=self.receipts.append))

    def verdicts(self) -> list[str]:
        return [receipt.verdict.value for receipt in self.receipts]

    def client(self) -> httpx.AsyncClient:
        """Somebody who posts to it without a port between."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url="http://worker.test")


class _Server(uvicorn.Server):
    """Signals stay with whoever runs the tests."""

    def capture_signals(self):
        return nullcontext()


@asynccontextmanager
async def listening():
    """A receiver on a port of its own."""
    receiver = Receiver()
    server = _Server(
        uvicorn.Config(receiver.app, port=0, lifespan="off", log_config=None, access_log=False, ws="none", loop="none")
    )
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn offers no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    receiver.url = f"http://127.0.0.1:{port}{PATH}"
    try:
        yield receiver
    finally:
        server.should_exit = True
        await serving
