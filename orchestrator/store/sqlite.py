"""The state in an SQLite file: checked before it is touched, and opened for one writer and for readers."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from orchestrator.domain.errors import InvalidSettings, StateUnusable
from orchestrator.store.budget import forget_held

BUSY_SECONDS: Final = 30.0
CONNECTION: Final = {"timeout": BUSY_SECONDS, "check_same_thread": False}
DAMAGED: Final = (
    "Move the file aside and restore a backup, or begin with a fresh one: what the damaged one knew is then ended by "
    "the bounds every session and room was given (their room's expiry, the platform's session limit)."
)


def path_of(url: URL) -> Path:
    """The file behind an SQLite URL; InvalidSettings where it names none."""
    if not url.database or url.database == ":memory:":
        raise InvalidSettings(
            "ORCHESTRATOR_DATABASE_URL: an SQLite URL must name a file",
            next_step="Use sqlite:///PATH, or leave it unset for .orchestrator/state.db.",
        )
    return Path(url.database).absolute()


def make_folder(path: Path) -> None:
    """Make the folder that the file will lie in."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "Choose a writable place in ORCHESTRATOR_DATABASE_URL."
        raise unusable(path, error.strerror or str(error), remedy) from error


def check(path: Path) -> None:
    """Refuse a damaged file before anything could write to it."""
    if not path.exists() or path.stat().st_size == 0:
        return
    connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=BUSY_SECONDS)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise unusable(path, str(error), DAMAGED) from error
    finally:
        connection.close()
    if verdict != ("ok",):
        raise unusable(path, f"damaged: {verdict[0]}", DAMAGED)


def unusable(place: object, what: str, next_step: str) -> StateUnusable:
    """The error that names a place of state, what is wrong with it and what to do."""
    error = StateUnusable(f"{place}: {what}")
    error.next_step = next_step
    return error


def writing_engine(path: Path) -> Engine:
    """For the one writer."""
    engine = create_engine(f"sqlite:///{path}", connect_args=CONNECTION, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA secure_delete=ON")
        except sqlite3.DatabaseError as error:
            connection.close()  # the pool has not taken it over yet
            raise unusable(path, str(error), DAMAGED) from error

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Deferred transactions that read and then write fail with "database is locked" under contention.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "rollback", forget_held)
    return engine


def reading_engine(path: Path) -> Engine:
    """For readers, who can write nothing."""
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true", connect_args=CONNECTION, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA query_only=ON")

    return engine
