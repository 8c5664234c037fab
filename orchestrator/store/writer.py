"""The one writer of a process: a thread that commits many units of work at once.

SQLite takes one writer at a time. Instead of letting connections fight for the lock, every write is a unit handed to
this thread, which opens one immediate transaction, runs all waiting units (each in a savepoint of its own), and
commits once. A caller's answer resolves after that COMMIT: what it was told is on disk. Between commits, and at the
end, the thread wipes what tokens left behind. With PostgreSQL each worker has one such writer; a transaction that the
database undid because another worker was in its way, or with the connection before its commit, is run again at once.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from orchestrator.domain.errors import Conflict, StateUnusable
from orchestrator.store.budget import forget_held
from orchestrator.store.locks import asks_again, lost_its_connection
from orchestrator.store.remnants import NoRemnants, Remnants

T = TypeVar("T")
UNITS_PER_COMMIT: Final = 256
SAVEPOINT: Final = "SAVEPOINT unit"
RELEASE: Final = "RELEASE SAVEPOINT unit"
UNDO: Final = "ROLLBACK TO SAVEPOINT unit"
TRIES: Final = 5  # of a transaction that the database undid for others' sake
LAST_WIPE_PATIENCE: Final = 2.0  # seconds to wait for readers when the state is closed


@dataclass(frozen=True, slots=True)
class _Unit:
    work: Callable[[Connection], Any]
    answer: asyncio.Future[Any]  # of the loop of whoever handed it in


# Told, on the writer's thread, how many units a commit held and how many seconds it took.
Committed = Callable[[int, float], None]
_Settled = tuple[_Unit, Any, BaseException | None]


class Writer:
    """Runs units of work on one thread and one connection; `close` finishes what was handed in before it."""

    def __init__(self, engine: Engine, *, remnants: Remnants | NoRemnants) -> None:
        self._engine = engine
        self._remnants = remnants
        self._units: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._closed = False
        self._door = threading.Lock()  # nothing may enter the queue behind the mark that ends it
        self._connection: Connection | None = None  # the thread's own
        self._committing = False
        self.committed: Committed | None = None
        self._thread = threading.Thread(target=self._run, name="orchestrator-writer", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` and return its value once committed; what `work` raises is raised here and nothing of it stays."""
        value: T = await self._hand_in(work).answer  # a caller that is cancelled leaves its unit in the commit
        return value

    def close(self) -> None:
        """Finish the waiting units and stop the thread."""
        with self._door:
            if not self._closed:
                self._closed = True
                self._units.put(None)
        self._thread.join()

    def _hand_in(self, work: Callable[[Connection], Any]) -> _Unit:
        unit = _Unit(work, asyncio.get_running_loop().create_future())
        with self._door:
            if self._closed:
                raise StateUnusable("the store is closed")
            self._units.put(unit)
        return unit

    def _run(self) -> None:
        stopping = False
        while not stopping:
            units, stopping = self._take()
            if units:
                begun = time.monotonic()
                self._commit(units)
                if self.committed is not None:
                    self.committed(len(units), time.monotonic() - begun)
            if self._remnants.due_in() == 0:
                self._remnants.wipe()
        self._disconnect()
        self._remnants.wipe(patience=LAST_WIPE_PATIENCE)

    def _take(self) -> tuple[list[_Unit], bool]:
        try:
            first = self._units.get(timeout=self._remnants.due_in())
        except queue.Empty:
            return [], False
        if first is None:
            return [], True
        units = [first]
        while len(units) < UNITS_PER_COMMIT:
            try:
                unit = self._units.get_nowait()
            except queue.Empty:
                break
            if unit is None:
                return units, True
            units.append(unit)
        return units, False

    def _commit(self, units: list[_Unit]) -> None:
        settled: list[_Settled] = []
        for tries in count(1):
            try:
                settled = self._transact(units)
            except BaseException as error:  # noqa: BLE001  every caller must hear of it, and the thread serves the next
                self._disconnect()
                undone = asks_again(error) or (lost_its_connection(error) and not self._committing)
                if undone and tries < TRIES:
                    continue
                failure = _failure(error)
                settled = [(unit, None, failure) for unit in units]
            break
        _answer(settled)

    def _transact(self, units: Sequence[_Unit]) -> list[_Settled]:
        self._committing = False
        connection = self._connect()
        with connection.begin():
            cursor = connection.connection.cursor()
            settled = [_attempt(connection, cursor, unit) for unit in units]
            self._remnants.take_note(connection)
            self._committing = True  # from here on a lost connection may hide a commit
        return settled

    def _connect(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _disconnect(self) -> None:
        """The next commit begins on a new connection: this one may be what is wrong."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()


def _answer(settled: Sequence[_Settled]) -> None:
    """Tell every caller; each loop is woken once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Settled]] = {}
    for one in settled:
        by_loop.setdefault(one[0].answer.get_loop(), []).append(one)
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # that loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, answers)


def _resolve(settled: Sequence[_Settled]) -> None:
    for unit, value, failed in settled:
        if unit.answer.done():
            continue  # whoever handed it in was cancelled
        if failed is not None:
            unit.answer.set_exception(failed)
        else:
            unit.answer.set_result(value)


def _attempt(connection: Connection, cursor: DBAPICursor, unit: _Unit) -> _Settled:
    """Run a unit in a savepoint. The savepoint is set beside SQLAlchemy, whose own costs more than most units."""
    cursor.execute(SAVEPOINT)
    try:
        value = unit.work(connection)
    except IntegrityError as error:
        _undo(connection, cursor)
        return unit, None, Conflict(f"the state holds a row that excludes this one: {cause_of(error)}")
    except DataError as error:  # tried again it would be refused again, and every unit beside it
        _undo(connection, cursor)
        return unit, None, Conflict(f"the state does not take what was to be written: {cause_of(error)}")
    except SQLAlchemyError:
        raise  # the database itself is in trouble: no unit of this commit is true
    except Exception as error:  # noqa: BLE001  the unit's own failure belongs to its caller, the other units go on
        _undo(connection, cursor)
        return unit, None, error
    cursor.execute(RELEASE)
    return unit, value, None


def _undo(connection: Connection, cursor: DBAPICursor) -> None:
    forget_held(connection)
    cursor.execute(UNDO)
    cursor.execute(RELEASE)


def _failure(error: BaseException) -> StateUnusable:
    if isinstance(error, StateUnusable):
        return error  # it knows better what to do
    failure = StateUnusable(f"the state could not be written: {cause_of(error)}")
    failure.next_step = "Free disk space or make the state file writable; nothing new is started meanwhile."
    failure.__cause__ = error
    return failure


def cause_of(error: BaseException) -> str:
    """The first line of what the database itself said: the rest of SQLAlchemy's text quotes the statement's values."""
    said = str(getattr(error, "orig", None) or error).splitlines()
    return said[0] if said else type(error).__name__
