"""The real command as a process: started, given a limit, and always reaped."""

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

COMMAND = Path(sys.executable).with_name("orchestrator")
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended; `code` is negative for a signal, `hung` when it was still running at its limit (seconds)."""

    code: int
    hung: bool
    seconds: float
    stdout: str
    stderr: str

    @property
    def killed(self):
        return self.code == -signal.SIGKILL and not self.hung


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where commands run: a folder of their own, and the environment that leads to the sandbox."""

    folder: Path
    environment: dict[str, str]
    limit: float

    @property
    def state(self):
        return self.folder / "state.db"

    async def command(self, *arguments, begun=lambda pid: None):
        """Run `orchestrator ARGUMENTS` to its end; `begun` hears its pid at once."""
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            *arguments,
            cwd=self.folder,
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        begun(process.pid)
        talk = asyncio.create_task(process.communicate())
        try:
            done, _ = await asyncio.wait([talk], timeout=self.limit)
        finally:
            # Also when we are interrupted: no command outlives its sandbox.
            if process.returncode is None and not talk.done():
                process.kill()
        stdout, stderr = await talk
        return Ended(
            code=process.returncode,
            hung=not done,
            seconds=time.monotonic() - began,
            stdout=stdout.decode(errors="replace"),
            stderr=stderr.decode(errors="replace"),
        )

    def _environment(self):
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        own = {"ORCHESTRATOR_DATABASE_URL": f"sqlite:///{self.state}", "NO_COLOR": "1"}
        return {**kept, **self.environment, **own}
