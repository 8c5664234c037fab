"""The connection of the durable engine to our state file: its own tables live there, beside ours.

The library takes `unixepoch('subsec')` for granted from Python 3.12 on, but that is SQLite 3.42's, and a Python may be
built with an older one (Debian 12 ships 3.40): its first insert would fail. There the function is supplied.
"""

from __future__ import annotations

import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

KNOWS_SUBSEC: Final = (3, 42, 0)
BUSY_SECONDS: Final = 30.0
STATE_TROUBLE: Final = (SQLAlchemyError, sqlite3.Error)  # what the library lets through where the file refuses


def connection_options(path: Path) -> dict[str, Any]:
    """What the library's engine is to be made with, so that its connections work with this SQLite."""
    return {"creator": partial(_connect, path)}


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    if sqlite3.sqlite_version_info < KNOWS_SUBSEC:
        connection.create_function("unixepoch", -1, _unixepoch)
    return connection


def _unixepoch(*modifiers: object) -> float:
    """Seconds since 1970 for `unixepoch()` and `unixepoch('subsec')`: all that the library asks."""
    return time.time() if "subsec" in modifiers else float(int(time.time()))
