"""One whole batch against the sandbox, in this process: what the rows say afterwards, and what the world says."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.app.batches import BatchView, create_batch, live_view, run_batch, view_batch
from orchestrator.app.graph import Worker, open_worker
from orchestrator.domain.run import Run, RunStatus
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.settings import load_settings
from orchestrator.telemetry.metrics import Metrics
from tests.support.empty import put_empty_state

SPEED = 40.0

PLAN = """
version: 1
name: test
agent: {{kind: pipecat_cloud, name: support-bot{agent}}}
cekura: {{agent: 5, mock_tool_names: []}}
scenarios: {scenarios}
limits: {{concurrency: {concurrency}, calls: {calls}, starts_per_second: 20}}
{more}
"""


@dataclass
class Ended:
    """A batch after its end; `steps` are its runs' transitions in order."""

    view: BatchView
    world: dict[str, Any]
    steps: list[tuple[Run, Run]] = field(default_factory=list)

    @property
    def outcomes(self) -> list[str]:
        return [str(run.outcome) for run in self.view.runs]

    @property
    def reasons(self) -> list[str]:
        return [run.reason for run in self.view.runs]

    def assert_clean(self) -> None:
        """Nothing alive, no room submitted twice, no call cut short."""
        assert self.world["sessions"]["alive"] == []
        assert self.world["rooms"]["alive"] == []
        assert self.world["submitted_twice"] == []
        assert self.world["cut_short"] == []


@dataclass
class Bench:
    """Starts sandboxes and runs batches against them.

    `runner=True` takes the sandbox's own runner; an async function of the sandbox starts another and returns its URL.
    """

    folder: Path
    speed: float = SPEED

    def plan(
        self, *, scenarios="[{scenario: 101, repeat: 3}]", concurrency=6, calls=6, agent="", more="", runner=None
    ) -> str:
        text = PLAN.format(scenarios=scenarios, concurrency=concurrency, calls=calls, agent=agent, more=more)
        if runner is not None:
            text = text.replace("kind: pipecat_cloud, name: support-bot", f"kind: pipecat_runner, url: '{runner}'")
        return text

    def worker(
        self,
        sandbox: Sandbox,
        *,
        listener: Callable[[Run, Run], None] = lambda before, after: None,
        metrics: Metrics | None = None,
        **environ,
    ):
        put_empty_state(self.folder / "state.db")
        values = {**sandbox.environment(), "ORCHESTRATOR_DATABASE_URL": f"sqlite:///{self.folder}/state.db", **environ}
        settings = load_settings({name: value for name, value in values.items() if value is not None})
        speed = sandbox.settings.speed
        return open_worker(settings, command="test", environ={}, listener=listener, speed=speed, metrics=metrics)

    async def start(self, worker: Worker, text: str) -> str:
        loaded = plan_from_text(text, name="test")
        batch = await create_batch(worker, loaded, speed=SPEED)
        return batch.batch_id

    async def run(
        self, *faults: str, sandbox: dict[str, Any] | None = None, environ=None, runner=None, metrics=None, **plan
    ) -> Ended:
        steps: list[tuple[Run, Run]] = []
        settings = SandboxSettings(**{"speed": SPEED, "faults": faults, "call_seconds": (8.0, 16.0), **(sandbox or {})})
        async with Sandbox(settings) as box:
            listener = lambda before, after: steps.append((before, after))  # noqa: E731
            url = await runner(box) if callable(runner) else box.url
            text = self.plan(runner=url if runner else None, **plan)
            async with self.worker(box, listener=listener, metrics=metrics, **(environ or {})) as worker:
                batch_id = await self.start(worker, text)
                await run_batch(worker, batch_id)
                view = await view_batch(worker.store, batch_id)
            return Ended(view=view, world=box.world(), steps=steps)


def in_call(worker: Worker, batch_id: str) -> int:
    """How many runs of a batch are in their call."""
    view = live_view(worker, batch_id)
    return sum(run.status is RunStatus.IN_CALL for run in view.runs) if view else 0


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  what is awaited is a picture of many rows
            await asyncio.sleep(0.02)
