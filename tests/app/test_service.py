"""A worker that stops does so in bounded time, whatever its parts wait for."""

import asyncio

from orchestrator.app import service
from orchestrator.app.graph import open_worker
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.settings import load_settings


class KeeperThatHangs:
    """As one whose start call is not answered, or whose state is away."""

    async def drain(self, *, hand_over):
        await asyncio.get_running_loop().create_future()


async def test_a_pool_that_cannot_be_given_back_holds_up_no_stopping(tmp_path, monkeypatch):
    monkeypatch.setattr(service, "ANSWER_SECONDS", 0.05)
    async with Sandbox(SandboxSettings(speed=40)) as box:
        settings = load_settings({**box.environment(), "ORCHESTRATOR_DATABASE_URL": f"sqlite:///{tmp_path}/state.db"})
        opened = open_worker(settings, command="test", environ={}, listener=lambda before, after: None, speed=40)
        async with opened as worker, asyncio.timeout(10):
            left = await service.Service(worker, keeper=KeeperThatHangs()).drain(seconds=0)
    assert (left.batches, left.sessions) == (0, 0)
