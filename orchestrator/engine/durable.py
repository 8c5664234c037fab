"""Makes a batch survive its process: the only importer of DBOS, behind one object that one file can replace.

One workflow per batch, whose one step drives it; the rows hold the state, so the step may be executed again by whoever
recovers the workflow. Measured traps this file answers:

- Launched on the running loop, direct and recovered workflows run on that loop and share our clients.
- The library replaces the loop's default executor and shuts it down at destroy; a fresh one is set afterwards.
- A second construction silently returns the first: guarded by `_LAUNCHED`.
- A workflow that ends in ERROR is never resumed: `drive` does not raise for trouble with a remote.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from orchestrator.domain.errors import Conflict, StateUnusable
from orchestrator.store.companion import STATE_TROUBLE, connection_options

Drive = Callable[[str], Awaitable[None]]

NAME: Final = "orchestrator"
EXECUTOR_ID: Final = "local"  # one driving process per SQLite file: whoever holds the lock recovers its workflows
SCHEMA_ERA: Final = "1"  # the library would take a hash of the sources, and a deploy would orphan batches
EXECUTOR_THREADS: Final = 8

# Python looks for garbage in cycles after so many new objects. What was imported by now is never garbage, and is a
# hundred milliseconds' work to look through: it is left out, and the loop stands still less often.
COLLECT_AFTER: Final = (20_000, 20, 20)
_LAUNCHED: set[str] = set()


class Durable:
    """The engine of one process. `launch` on the running loop, `close` on the same."""

    def __init__(self, *, state: Path, drive: Drive) -> None:
        self._state = state
        self._drive = drive
        self._workflow: Callable[..., Any] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turns: dict[str, asyncio.Lock] = {}
        self._collector = gc.get_threshold()

    async def launch(self) -> None:
        """Start the engine; batches that a dead process left open are taken up again at once, on this loop."""
        if _LAUNCHED:
            raise Conflict("the durable engine is already running in this process")
        _LAUNCHED.add(NAME)
        _silence()
        from dbos import DBOS, DBOSConfig

        config: DBOSConfig = {
            "name": NAME,
            "system_database_url": f"sqlite:///{self._state}",
            "application_version": SCHEMA_ERA,
            "executor_id": EXECUTOR_ID,
            "db_engine_kwargs": connection_options(self._state),
            "max_executor_threads": EXECUTOR_THREADS,
            "notification_listener_polling_interval_sec": 0.2,
            "log_level": "CRITICAL",
            "enable_otlp": False,
        }
        DBOS(config=config)

        @DBOS.step(name="drive")
        async def drive(batch_id: str) -> None:
            await self._execute(batch_id)

        async def batch(batch_id: str) -> None:
            await drive(batch_id)

        # No limit on recoveries: however often the process dies, the batch is driven to its end.
        self._workflow = DBOS.workflow(name="batch", max_recovery_attempts=None)(batch)
        try:
            DBOS.launch()
        except STATE_TROUBLE as error:
            failure = StateUnusable(f"the durable engine could not use the state: {type(error).__name__}")
            failure.next_step = "Free disk space or make the state file writable, then `orchestrator gc`."
            raise failure from error
        self._collector = gc.get_threshold()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)

    async def run(self, batch_id: str) -> None:
        """Drive a batch durably; one that is already under way (recovered) is waited for."""
        from dbos import DBOS, SetWorkflowID

        if self._workflow is None:
            raise Conflict("the durable engine is not running")
        try:
            with SetWorkflowID(batch_id):  # raises at once what an earlier process ended it with
                handle = await DBOS.start_workflow_async(self._workflow, batch_id)
            await handle.get_result()
        except Exception:  # noqa: BLE001  whatever ended it, now or in an earlier process, its own writes included
            # The library never takes up a workflow that ended in an error, but the rows say what is left: go on here.
            await self._drive_once(batch_id)

    async def _execute(self, batch_id: str) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            await self._drive_once(batch_id)
        finally:
            if task is not None:
                self._tasks.discard(task)

    async def _drive_once(self, batch_id: str) -> None:
        """One at a time: a handle that cannot be read says nothing of a workflow that still drives the batch."""
        async with self._turns.setdefault(batch_id, asyncio.Lock()):
            await self._drive(batch_id)

    async def close(self) -> None:
        """Stop driving (rows and workflows stay as they are), then stop the engine off the loop."""
        if self._workflow is None:
            return  # never launched: nothing to stop, and the library need not be imported for that
        from dbos import DBOS

        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="durable-close") as own:
            await loop.run_in_executor(own, lambda: DBOS.destroy(destroy_registry=True))
        loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="orchestrator"))
        self._workflow = None
        gc.set_threshold(*self._collector)
        gc.unfreeze()
        _LAUNCHED.discard(NAME)


def _silence() -> None:
    """The library logs to the console by itself; what matters to a person is said by us."""
    logger = logging.getLogger("dbos")
    logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.CRITICAL)
    logger.propagate = False
