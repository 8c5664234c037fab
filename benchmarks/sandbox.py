"""A sandbox in a process of its own, so that what is measured is not measured together with it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def sandbox_process(**settings: float) -> Iterator[tuple[str, dict[str, str]]]:
    """Start one with these SandboxSettings; yields its URL and the environment that points at it."""
    command = [sys.executable, "-m", "benchmarks.sandbox", json.dumps(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("the sandbox has no pipes")
        try:
            told = json.loads(process.stdout.readline())
            yield told["url"], told["environment"]
        finally:
            process.stdin.close()  # it serves until its standard input ends, so it cannot outlive us


async def serve(settings: dict[str, float]) -> None:
    """Serve until standard input ends."""
    from orchestrator.sandbox import Sandbox, SandboxSettings

    async with Sandbox(SandboxSettings(**settings)) as sandbox:  # type: ignore[arg-type]  numbers by name
        print(json.dumps({"url": sandbox.url, "environment": sandbox.environment()}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
