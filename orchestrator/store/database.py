"""Opening the state: check before touching, migrate, one writer and read-only readers.

The file is never overwritten: a damaged or newer one is refused with what to do.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from orchestrator.domain.errors import InvalidSettings, StateUnusable
from orchestrator.store.budget import forget_held
from orchestrator.store.lock import DrivingLock
from orchestrator.store.migration import migrate
from orchestrator.store.remnants import Remnants
from orchestrator.store.writer import Writer, cause_of

T = TypeVar("T")
BUSY_SECONDS: Final = 30.0
READERS: Final = 2
CONNECTION: Final = {"timeout": BUSY_SECONDS, "check_same_thread": False}


class Store:
    """The open state. A driving store holds the lock that one process may hold; others read, and may ask to cancel."""

    def __init__(self, *, path: Path, lock: DrivingLock | None, writing: Engine, reading: Engine) -> None:
        self.path = path
        self._lock = lock
        self._writing = writing
        self._reading = reading
        self._closed = False
        # Only the one that drives holds tokens; a store beside it neither makes remnants nor waits to wipe any.
        self._writer = Writer(writing, remnants=Remnants(writing, owed=lock is not None))
        self._readers = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="orchestrator-reader")

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run a unit of work; its value is returned after COMMIT. StateUnusable when the disk refuses."""
        return await self._writer.write(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a query on a read-only connection. StateUnusable when the file cannot be read."""
        if self._closed:
            raise StateUnusable("the store is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._reading.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise _unusable(self.path, f"could not be read: {cause_of(error)}", UNREADABLE) from error

    def close(self) -> None:
        """Finish writing, close every connection, give the lock back, whatever fails on the way."""
        if self._closed:
            return
        self._closed = True
        with ExitStack() as steps:  # in reverse: the reading connections first, so that the last one open may write
            if self._lock is not None:
                steps.callback(self._lock.release)
            steps.callback(self._writing.dispose)
            steps.callback(self._writer.close)
            steps.callback(self._reading.dispose)
            steps.callback(self._readers.shutdown)


def open_store(database_url: str, *, driving: str | None) -> Store:
    """Open (and create) the state at `database_url`; `driving` names the command that takes the driving lock.

    Conflict when another process drives; StateUnusable when the file is damaged, newer, or not writable.
    """
    path = sqlite_path(database_url)
    _make_folder(path)
    lock = DrivingLock.take(path, command=driving) if driving else None
    writing = _writing_engine(path)
    try:
        _check(path)
        migrate(writing)
        return Store(path=path, lock=lock, writing=writing, reading=_reading_engine(path))
    except BaseException:
        writing.dispose()
        if lock is not None:
            lock.release()
        raise


def sqlite_path(database_url: str) -> Path:
    """The file behind an SQLite URL; InvalidSettings for anything else."""
    try:
        url = make_url(database_url)
    except ArgumentError:
        url = make_url("unreadable://")
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        raise InvalidSettings(
            "ORCHESTRATOR_DATABASE_URL: this version keeps its state in an SQLite file",
            next_step="Use sqlite:///PATH, or leave it unset for .orchestrator/state.db.",
        )
    return Path(url.database).absolute()


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(
            path, error.strerror or str(error), "Choose a writable place in ORCHESTRATOR_DATABASE_URL."
        ) from error


def _check(path: Path) -> None:
    """Refuse a damaged file before anything could write to it."""
    if not path.exists() or path.stat().st_size == 0:
        return
    connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=BUSY_SECONDS)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise _unusable(path, str(error), DAMAGED) from error
    finally:
        connection.close()
    if verdict != ("ok",):
        raise _unusable(path, f"damaged: {verdict[0]}", DAMAGED)


DAMAGED: Final = (
    "Move the file aside and restore a backup, or begin with a fresh one: what the damaged one knew is then ended by "
    "the bounds every session and room was given (their room's expiry, the platform's session limit)."
)

UNREADABLE: Final = (
    "Make the file and its folder readable, and look at the disk. Nothing was changed; a damaged file is told as such "
    "when it is opened next."
)


def _unusable(path: Path, what: str, next_step: str) -> StateUnusable:
    error = StateUnusable(f"{path}: {what}")
    error.next_step = next_step
    return error


def _writing_engine(path: Path) -> Engine:
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
            raise _unusable(path, str(error), DAMAGED) from error

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Deferred transactions that read and then write fail with "database is locked" under contention.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "rollback", forget_held)
    return engine


def _reading_engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true", connect_args=CONNECTION, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA query_only=ON")

    return engine
