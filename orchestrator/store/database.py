"""Opening the state: check before touching, migrate, one writer and read-only readers.

An SQLite file is driven by one process, which holds its lock; PostgreSQL is shared by many workers, each with a lease.
A state is never overwritten: a damaged or newer one is refused with what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from orchestrator.domain.errors import InvalidSettings, StateUnusable
from orchestrator.store import postgres, sqlite
from orchestrator.store.lock import DrivingLock
from orchestrator.store.migration import migrate
from orchestrator.store.remnants import NoRemnants, Remnants
from orchestrator.store.writer import Committed, Writer, cause_of

T = TypeVar("T")
READERS: Final = 2
POSTGRES_NAMES: Final = ("postgresql", "postgres")
UNREADABLE: Final = (
    "Make the file and its folder readable, and look at the disk. Nothing was changed; a damaged file is told as such "
    "when it is opened next."
)
UNREACHED: Final = "Look whether PostgreSQL runs and lets this user in; teardown goes on meanwhile, nothing new begins."


class Store:
    """The open state. `place` names it; `shared` where many workers may write; `path` is the file of one that is not.

    An unshared store that drives holds the lock that one process may hold; others read, and may ask to cancel.
    """

    def __init__(
        self,
        *,
        place: str,
        path: Path | None,
        lock: DrivingLock | None,
        writing: Engine,
        reading: Engine,
    ) -> None:
        self.place = place
        self.path = path
        self.shared = path is None
        self._lock = lock
        self._writing = writing
        self._reading = reading
        self._closed = False
        # Only the one that drives holds tokens; a store beside it neither makes remnants nor waits to wipe any.
        remnants = NoRemnants() if path is None else Remnants(writing, owed=lock is not None)
        self._writer = Writer(writing, remnants=remnants)
        self._readers = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="orchestrator-reader")

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run a unit of work; its value is returned after COMMIT. StateUnusable when the database refuses.

        A unit may be run more than once, and even be committed by a run whose answer was lost: it finds its own rows.
        """
        return await self._writer.write(work)

    def watch_commits(self, committed: Committed | None) -> None:
        """Tell `committed` of each commit: its units of work, its seconds. It is called on another thread."""
        self._writer.committed = committed

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a query on a read-only connection. StateUnusable when the state cannot be read."""
        if self._closed:
            raise StateUnusable("the store is closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._reading.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            remedy = UNREACHED if self.shared else UNREADABLE
            raise sqlite.unusable(self.place, f"could not be read: {cause_of(error)}", remedy) from error

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
    """Open (and create) the state at `database_url`; `driving` names the command that takes an SQLite file's lock.

    Conflict when another process drives that file; StateUnusable when the state is damaged, newer, or not writable.
    """
    url = parse_url(database_url)
    return _open_postgres(url) if is_shared(database_url) else _open_sqlite(sqlite.path_of(url), driving=driving)


def parse_url(database_url: str) -> URL:
    """The URL of a database we can use; InvalidSettings for any other."""
    try:
        url = make_url(database_url)
    except ArgumentError:
        url = make_url("unreadable://")
    name = url.drivername.partition("+")[0]
    if name not in {"sqlite", *POSTGRES_NAMES}:
        raise InvalidSettings(
            "ORCHESTRATOR_DATABASE_URL: state is kept in an SQLite file or in PostgreSQL",
            next_step="Use sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE, or leave it unset for "
            ".orchestrator/state.db.",
        )
    return url


def is_shared(database_url: str) -> bool:
    """Whether many workers may drive this state."""
    return parse_url(database_url).drivername.partition("+")[0] in POSTGRES_NAMES


def place_of(database_url: str) -> str:
    """How messages and marks name this state; never its password."""
    url = parse_url(database_url)
    return postgres.place_of(url) if is_shared(database_url) else str(sqlite.path_of(url))


def state_exists(database_url: str) -> bool:
    """Whether anything was ever kept there; a database that others share counts as kept."""
    return is_shared(database_url) or sqlite.path_of(parse_url(database_url)).exists()


def _open_sqlite(path: Path, *, driving: str | None) -> Store:
    sqlite.make_folder(path)
    lock = DrivingLock.take(path, command=driving) if driving else None
    writing = sqlite.writing_engine(path)
    try:
        sqlite.check(path)
        migrate(writing)
        return Store(place=str(path), path=path, lock=lock, writing=writing, reading=sqlite.reading_engine(path))
    except BaseException:
        writing.dispose()
        if lock is not None:
            lock.release()
        raise


def _open_postgres(url: URL) -> Store:
    writing = postgres.writing_engine(url)
    try:
        writing.connect().close()
        migrate(writing)
        return Store(
            place=postgres.place_of(url), path=None, lock=None, writing=writing, reading=postgres.reading_engine(url)
        )
    except SQLAlchemyError as error:
        writing.dispose()
        remedy = "Look whether PostgreSQL runs there, and at the user, password and database in the URL."
        raise sqlite.unusable(postgres.place_of(url), cause_of(error), remedy) from error
    except BaseException:
        writing.dispose()
        raise
