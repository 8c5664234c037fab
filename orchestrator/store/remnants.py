"""What a meeting token leaves in the files after it left its row, and how that is wiped.

`PRAGMA secure_delete` zeroes freed bytes, but in the new version of a page: the old versions stay in the log (`-wal`)
until they are moved into the file and the log is cut to nothing (sqlite.org/pragma.html, `wal_checkpoint(TRUNCATE)`).
A reader that still looks at an old version is in the way of that; then it is tried again. What SQLite moves about when
it splits a page, and what the disk keeps of blocks it freed, is out of reach.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Final

from loguru import logger
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.domain.errors import StateUnusable

WIPE_EVERY: Final = 1.0  # seconds between two tries at least: each one waits for the disk twice
_TOKEN_LEFT: Final = "orchestrator_token_left"  # noqa: S105  a key of `Connection.info`


def note_token_left(connection: Connection) -> None:
    """Say that this unit takes a token out of a row."""
    connection.info[_TOKEN_LEFT] = True


class NoRemnants:
    """Of a state that no file of ours holds; what PostgreSQL keeps of a row until it is vacuumed is out of reach."""

    def take_note(self, connection: Connection) -> None:
        """Forget what the units of a commit noted."""
        connection.info.pop(_TOKEN_LEFT, None)

    def due_in(self) -> float | None:
        """Never."""
        return None

    def wipe(self, *, patience: float = 0.0) -> None:
        """Nothing to wipe."""


class Remnants:
    """Those of one state file, wiped by its writer's thread alone; `owed` where another process may have left some."""

    def __init__(self, engine: Engine, *, owed: bool) -> None:
        self._engine = engine
        self._owed = owed
        self._not_before = time.monotonic()

    def take_note(self, connection: Connection) -> None:
        """Look whether the units of a commit took a token out of a row."""
        self._owed |= connection.info.pop(_TOKEN_LEFT, False)

    def due_in(self) -> float | None:
        """Seconds until the next try; None when there is nothing to wipe."""
        return max(0.0, self._not_before - time.monotonic()) if self._owed else None

    def wipe(self, *, patience: float = 0.0) -> None:
        """Move the log into the file and cut it, if a token was left there; wait `patience` seconds for readers."""
        if not self._owed:
            return
        self._not_before = time.monotonic() + WIPE_EVERY
        try:
            self._owed = not self._checkpoint(patience)
        except (SQLAlchemyError, sqlite3.Error, StateUnusable) as error:  # tried again; it must not end the writer
            logger.debug("remnants of tokens stay for now", error=type(error).__name__)

    def _checkpoint(self, patience: float) -> bool:
        raw = self._engine.raw_connection()
        try:
            cursor = raw.cursor()
            usual = cursor.execute("PRAGMA busy_timeout").fetchone()[0]
            cursor.execute(f"PRAGMA busy_timeout={int(patience * 1000)}")
            try:
                busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                cursor.execute(f"PRAGMA busy_timeout={usual}")
            return not busy
        finally:
            raw.close()
