"""Real processes beside the tests: started on a free port, waited for, stopped by their own pid."""

import asyncio
import os
import socket
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
READY_LIMIT = 60  # seconds; about 4 on an idle machine, most of it Pipecat's import
STOP_LIMIT = 10


@dataclass(frozen=True)
class RunningPipecat:
    """A Pipecat runner that answers."""

    url: str
    pid: int
    log_path: Path

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    async def until_logged(self, text, *, limit=20.0):
        """Wait until the runner's log holds `text`; what a bot does without a room is seen nowhere else."""
        async with asyncio.timeout(limit):
            while text not in self.log():  # noqa: ASYNC110  it happens in another process
                await asyncio.sleep(0.05)


@pytest.fixture
async def pipecat_runner(tmp_path):
    """`await pipecat_runner(bot_path, environment)` starts Pipecat's own runner for Daily; returned once it answers.

    `bot_path` is relative to the repository. `environment` is laid over the test's own. The log is shown with a
    failed test.
    """
    async with AsyncExitStack() as processes:

        async def start(bot_path, environment):
            log_path = tmp_path / f"runner-{len(list(tmp_path.glob('runner-*.log')))}.log"
            return await processes.enter_async_context(running_pipecat(ROOT / bot_path, environment, log_path))

        yield start


@asynccontextmanager
async def running_pipecat(bot_path, environment, log_path):
    port = free_port()
    command = (sys.executable, str(bot_path), "-t", "daily", "--host", "127.0.0.1", "--port", str(port))
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=log, stderr=log, cwd=log_path.parent, env=environment_of_a_runner(environment)
        )
    try:
        url = f"http://127.0.0.1:{port}"
        await answering(url, process)
        yield RunningPipecat(url=url, pid=process.pid, log_path=log_path)
    finally:
        await stop(process)
        print(f"--- {bot_path.name}, exit {process.returncode}\n{log_path.read_text(errors='replace')}")  # noqa: T201


def environment_of_a_runner(environment):
    # The runner loads a .env over its environment: a developer's own must not lead a test to the real Daily.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DAILY_", "PIPECAT_"))}
    return {**inherited, "PYTHON_DOTENV_DISABLED": "1", "PYTHONUNBUFFERED": "1", **environment}


async def answering(url, process):
    async with asyncio.timeout(READY_LIMIT), httpx.AsyncClient(base_url=url) as client:
        while True:
            if process.returncode is not None:
                pytest.fail(f"the runner ended with {process.returncode} before it answered")
            try:
                (await client.get("/status")).raise_for_status()
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return


async def stop(process):
    """SIGTERM, and SIGKILL where that does not end it; the process is reaped."""
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_LIMIT):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
