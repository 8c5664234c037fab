"""A sandbox in a process of its own, so that what is measured is not measured together with it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSandbox:
    """Where it is, how a client reaches it, and what can be seen of it from outside."""

    url: str
    environment: dict[str, str]
    pid: int

    def world(self) -> dict[str, Any]:
        """What lives and what it cost."""
        return self._document("/world.json")

    def history(self) -> dict[str, Any]:
        """When every session and run went through what."""
        return self._document("/sandbox/history.json")

    def cpu_seconds(self) -> float:
        """CPU of its process so far."""
        return cpu_seconds(self.pid)

    def _document(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}{path}") as answer:  # noqa: S310  loopback
            document: dict[str, Any] = json.load(answer)
            return document


def cpu_seconds(pid: int) -> float:
    """CPU of a living process so far, in user and kernel (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def running_sandbox(**settings: Any) -> Iterator[RunningSandbox]:
    """Start one with these SandboxSettings; it ends with the block."""
    command = [sys.executable, "-m", "benchmarks.sandbox", json.dumps(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdin is None:
            raise RuntimeError("the sandbox has no pipes")
        try:
            told = json.loads(process.stdout.readline())
            yield RunningSandbox(url=told["url"], environment=told["environment"], pid=process.pid)
        finally:
            process.stdin.close()  # it serves until its standard input ends, so it cannot outlive us


@contextmanager
def sandbox_process(**settings: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """The same for who needs no more than its URL and the environment that points at it."""
    with running_sandbox(**settings) as sandbox:
        yield sandbox.url, sandbox.environment


async def serve(settings: dict[str, Any]) -> None:
    """Serve until standard input ends."""
    from orchestrator.sandbox import Sandbox, SandboxSettings

    async with Sandbox(SandboxSettings(**settings)) as sandbox:
        print(json.dumps({"url": sandbox.url, "environment": sandbox.environment()}), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
