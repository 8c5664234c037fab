"""The driving lock: one process at a time drives a state file's batches; the kernel frees it when that one dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from orchestrator.domain.errors import Conflict, StateUnusable


class DrivingLock:
    """An exclusive `flock` on `<state>.lock`, with a note inside that says who holds it."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @classmethod
    def take(cls, state: Path, *, command: str) -> DrivingLock:
        """Take the lock at once; Conflict names the holder."""
        path = state.with_name(state.name + ".lock")
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise StateUnusable(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(file)
            file.close()
            conflict = Conflict(f"{state} is being driven by {holder}")
            conflict.next_step = (
                "Wait for it, or use another ORCHESTRATOR_DATABASE_URL. `list`, `show` and `cancel` work meanwhile."
            )
            raise conflict from None
        file.truncate(0)
        note = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": command,
            "since": datetime.now(UTC).isoformat(),
        }
        file.write(json.dumps(note))
        file.flush()
        return cls(file)

    def release(self) -> None:
        """Give it back."""
        self._file.truncate(0)
        self._file.close()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        note = json.loads(file.read())
        return f"process {note['pid']} on {note['host']} (`{note['command']}`, since {note['since'][:19]}Z)"
    except (ValueError, KeyError, TypeError):
        return "another process"
