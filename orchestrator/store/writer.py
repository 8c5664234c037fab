"""The one writer of an SQLite file: a thread that commits many units of work at once.

SQLite takes one writer at a time. Instead of letting connections fight for the lock, every write is a unit handed to
this thread, which opens one immediate transaction, runs all waiting units (each in a savepoint of its own), and
commits once. A caller's answer resolves after that COMMIT: what it was told is on disk. Between commits, and at the
end, the thread wipes what tokens left behind.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from orchestrator.domain.errors import Conflict, StateUnusable
from orchestrator.store.remnants import Remnants

T = TypeVar("T")
UNITS_PER_COMMIT: Final = 256
LAST_WIPE_PATIENCE: Final = 2.0  # seconds to wait for readers when the state is closed


@dataclass(frozen=True, slots=True)
class _Unit:
    work: Callable[[Connection], Any]
    answer: Future[Any]


class Writer:
    """Runs units of work on one thread and one connection; `close` finishes what was handed in before it."""

    def __init__(self, engine: Engine, *, remnants: Remnants) -> None:
        self._engine = engine
        self._remnants = remnants
        self._units: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._closed = False
        self._door = threading.Lock()  # nothing may enter the queue behind the mark that ends it
        self._thread = threading.Thread(target=self._run, name="orchestrator-writer", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` and return its value once committed; what `work` raises is raised here and nothing of it stays."""
        unit = self._hand_in(work)
        # Shielded: a cancelled caller must not cancel a write that may already be part of a commit.
        value: T = await asyncio.shield(asyncio.wrap_future(unit.answer))
        return value

    def close(self) -> None:
        """Finish the waiting units and stop the thread."""
        with self._door:
            if not self._closed:
                self._closed = True
                self._units.put(None)
        self._thread.join()

    def _hand_in(self, work: Callable[[Connection], Any]) -> _Unit:
        unit = _Unit(work, Future())
        unit.answer.set_running_or_notify_cancel()  # from here on only the writer's thread settles it
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
                self._commit(units)
            if self._remnants.due_in() == 0:
                self._remnants.wipe()
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
        settled: list[tuple[_Unit, Any, BaseException | None]] = []
        try:
            with self._engine.begin() as connection:
                settled = [_attempt(connection, unit) for unit in units]
                self._remnants.take_note(connection)
        except BaseException as error:  # noqa: BLE001  every caller must hear of it, and the thread serves the next
            failure = _failure(error)
            settled = [(unit, None, failure) for unit in units]
        for unit, value, failed in settled:
            if failed is not None:
                unit.answer.set_exception(failed)
            else:
                unit.answer.set_result(value)


def _attempt(connection: Connection, unit: _Unit) -> tuple[_Unit, Any, BaseException | None]:
    try:
        with connection.begin_nested():
            return unit, unit.work(connection), None
    except IntegrityError as error:
        return unit, None, Conflict(f"the state holds a row that excludes this one: {cause_of(error)}")
    except SQLAlchemyError:
        raise  # the database itself is in trouble: no unit of this commit is true
    except Exception as error:  # noqa: BLE001  the unit's own failure belongs to its caller, the other units go on
        return unit, None, error


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
