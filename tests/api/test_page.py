"""docs/api.md is true: its code works in the order it stands in, against a sandbox, and it leaves no problem out."""

import asyncio
import re
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from orchestrator.api.context import ApiContext, ApiLimits
from orchestrator.api.documents import LONGEST_YAML
from orchestrator.api.problems import KINDS
from orchestrator.api.resources import MOST_PER_PAGE
from orchestrator.api.server import ApiServer
from orchestrator.app.access import Gatekeeper, create_token
from orchestrator.domain.access import Scope
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.settings import load_settings
from tests.api.served import Served
from tests.support.bench import SPEED, Bench

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
ORDER = 'order = {"plan": plan}'


@asynccontextmanager
async def serving(folder):
    """A sandbox, a worker that takes batches, and the API before both."""
    async with (
        Sandbox(SandboxSettings(speed=SPEED, call_seconds=(8.0, 16.0))) as box,
        Bench(folder).worker(box) as worker,
    ):
        store, clock = worker.store, worker.clock
        secrets = {}
        for scope in (Scope.RUN, Scope.ADMIN):
            _, secret = await create_token(store, clock, name=scope, scopes=[scope], lifetime=None, actor="test")
            secrets[scope] = secret.reveal()
        context = ApiContext(
            store=store,
            clock=clock,
            settings=load_settings({**box.environment(), "ORCHESTRATOR_SESSIONS_LIMIT": "50"}),
            variables={},
            gatekeeper=Gatekeeper(store=store, clock=clock),
            wake=worker.dispatcher.wake,
            speed=SPEED,
        )
        dispatching = asyncio.create_task(worker.dispatcher.serve())
        try:
            async with ApiServer(context, port=0) as server:
                yield server.url, secrets, box
        finally:
            dispatching.cancel()
            await asyncio.wait([dispatching])


@pytest.fixture
def served(tmp_path):
    served = Served(partial(serving, tmp_path))
    yield served.value
    served.close()


def test_its_code_works_as_written_and_leaves_nothing_behind(served, monkeypatch, capsys):
    url, secrets, box = served
    monkeypatch.setenv("ORCHESTRATOR_URL", url)
    monkeypatch.setenv("ORCHESTRATOR_TOKEN", secrets[Scope.RUN])
    monkeypatch.setenv("ORCHESTRATOR_ADMIN_TOKEN", secrets[Scope.ADMIN])
    assert sum(ORDER in block for block in CODE) == 1
    names = {}
    try:
        for block in CODE:
            hurried = block.replace(ORDER, f'order = {{"plan": plan, "speed": {SPEED}}}')  # as fast as the sandbox
            exec(compile(hurried, "docs/api.md", "exec"), names)
    finally:
        for one in ("api", "admin"):
            if one in names:
                names[one].close()
    said = capsys.readouterr().out
    assert "3 runs, about 30 credits" in said
    assert "scenarios.0.scenario must be a whole number" in said
    assert "409 schedule nightly does not fire" in said
    assert "max_alive is 500: a pool larger than the provider allows" in said
    assert not any(secret in said for secret in secrets.values())
    assert names["report"]["batch"]["status"] == "closed"
    world = box.world()
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == []
    assert world["submitted_twice"] == []


def test_it_has_every_kind_of_problem_with_its_status():
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", TEXT, re.MULTILINE)
    assert rows == [(kind.name, str(kind.status)) for kind in KINDS]


def test_its_bounds_are_those_of_the_code():
    limits = ApiLimits()
    for words in (
        f"{limits.body_bytes // 2**20} MiB, whole within {limits.body_seconds:g} s; YAML {LONGEST_YAML // 1024} KiB",
        f"{limits.requests_per_second:g} a second, {limits.burst} at once",
        f"{limits.strangers_per_second:g} a second, {limits.strangers_burst} at once",
        f"{limits.listeners} in one process",
        f"{MOST_PER_PAGE} entries",
    ):
        assert words in TEXT


def test_every_link_leads_somewhere():
    targets = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert targets
    assert [target for target in targets if not (ROOT / "docs" / target).exists()] == []
