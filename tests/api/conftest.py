"""The API over a real state, called in this process, or served on a free port where the wire matters."""

from contextlib import AsyncExitStack
from dataclasses import replace

import httpx
import pytest

from orchestrator.api.application import build_api
from orchestrator.api.context import ApiContext, ApiLimits
from orchestrator.api.documents import Problem
from orchestrator.api.problems import MEDIA_TYPE, URN
from orchestrator.app.access import Gatekeeper, create_token
from orchestrator.clock import SystemClock
from orchestrator.domain.access import Scope
from orchestrator.settings import load_settings
from orchestrator.store.database import open_store
from tests.support.empty import put_empty_state

PLAN = {
    "version": 1,
    "name": "small",
    "agent": {"kind": "pipecat_cloud", "name": "support-bot"},
    "cekura": {"agent": 5, "mock_tool_names": []},
    "scenarios": [{"scenario": 101, "repeat": 2}],
}
KEYS = {"CEKURA_API_KEY": "cekura", "PIPECAT_CLOUD_API_KEY": "pk_public", "PIPECAT_CLOUD_PRIVATE_KEY": "private"}
GENEROUS = ApiLimits(requests_per_second=10_000, burst=10_000, strangers_per_second=10_000, strangers_burst=10_000)


class Service:
    """A context over a state of its own, tokens of each scope, and clients that bear them."""

    def __init__(self, store, *, settings, closings):
        self.store = store
        self.clock = SystemClock()
        self.context = ApiContext(
            store=store,
            clock=self.clock,
            settings=settings,
            variables={"TENANT": "acme"},
            gatekeeper=Gatekeeper(store=store, clock=self.clock),
            limits=GENEROUS,
        )
        self.secrets = {}
        self._closings = closings

    async def token(self, scope, *, name=None, lifetime=None):
        """A new token's secret."""
        _, secret = await create_token(
            self.store, self.clock, name=name or str(scope), scopes=[scope], lifetime=lifetime, actor="test"
        )
        return secret.reveal()

    async def client(self, scope=Scope.RUN, *, secret=None, **changes):
        """A client of the API as `changes` of its context make it; without a scope it bears no token."""
        if scope is not None and secret is None:
            if scope not in self.secrets:
                self.secrets[scope] = await self.token(scope)
            secret = self.secrets[scope]
        api = build_api(replace(self.context, **changes))
        # What escapes from the application is a failure of the test, not an answer.
        return await self._closings.enter_async_context(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(api),
                base_url="http://localhost",
                headers={"Authorization": f"Bearer {secret}"} if secret else {},
            )
        )


@pytest.fixture
async def closings():
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def settings(tmp_path):
    return load_settings({**KEYS, "ORCHESTRATOR_DATABASE_URL": f"sqlite:///{tmp_path}/state.db"})


@pytest.fixture
async def service(settings, closings, tmp_path):
    put_empty_state(tmp_path / "state.db")
    store = open_store(settings.database_url, driving="test")
    yield Service(store, settings=settings, closings=closings)
    store.close()


@pytest.fixture
async def client(service):
    """A client that may run."""
    return await service.client()


@pytest.fixture
def plan():
    return PLAN


@pytest.fixture
def problem_in():
    """Takes a problem out of an answer, and looks whether it is as every one should be."""

    def find(answer, status, kind):
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == MEDIA_TYPE
        assert answer.headers["cache-control"] == "no-store"
        document = answer.json()
        Problem.model_validate(document, strict=True)
        assert document["type"] == f"{URN}{kind}"
        assert document["status"] == status
        assert document["instance"] == answer.request.url.raw_path.partition(b"?")[0].decode()
        assert document["detail"]
        assert document["next_step"]
        return document

    return find
