"""What a run cannot cost less than here: a request through the door, and the writes of one run, each by itself.

Run with `python -m benchmarks.limits`. CPU of this process alone, the sandbox being another; beside what a whole run
costs (`benchmarks.scale`), this shows how much of it is requests, how much is rows, and how much is the rest.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from benchmarks.batch import state
from benchmarks.sandbox import sandbox_process

REQUESTS: Final = 2000
RUNS: Final = 1000
AT_ONCE: Final = 20


async def each(work: Callable[[int], Awaitable[Any]], number: int) -> float:
    """CPU milliseconds of one of `number` pieces of work, AT_ONCE at a time."""
    left = iter(range(number))

    async def some() -> None:
        for index in left:
            await work(index)

    began = time.process_time()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return 1000 * (time.process_time() - began) / number


async def requests(environment: dict[str, str]) -> dict[str, float]:
    """A small request on a kept connection, and one as paid calls are made."""
    from orchestrator.clients.http import RemoteHttp
    from orchestrator.clock import SystemClock

    http = RemoteHttp(
        remote="Cekura",
        base_url=environment["CEKURA_API_URL"],
        headers={"X-CEKURA-API-KEY": environment["CEKURA_API_KEY"]},
        clock=SystemClock(),
    )
    path = "/test_framework/v1/results/1/end_calls/"
    accept = frozenset({404})

    async def kept(_: int) -> None:
        await http.read("POST", path, operation="look", json={}, accept=accept)

    async def fresh(_: int) -> None:
        try:
            await http.act("POST", path, operation="pay", json={})
        except Exception as error:  # a 404, which costs what an answer costs
            if getattr(error, "status", None) != 404:  # noqa: PLR2004
                raise

    try:
        await each(kept, AT_ONCE)
        return {"a request": await each(kept, REQUESTS), "a paid request": await each(fresh, REQUESTS)}
    finally:
        await http.aclose()


async def rows(url: str) -> float:
    """The writes of one run's life, from its intent to its judgement."""
    from orchestrator.domain.batch import Batch, BatchStatus
    from orchestrator.domain.run import Run
    from orchestrator.store import batches
    from orchestrator.store.database import open_store

    now = datetime.now(UTC)
    batch = Batch(
        batch_id="b", name="limits", status=BatchStatus.OPEN, created_at=now, document={}, digest="", speed=1.0
    )
    planned = [
        Run(run_id=f"r{number}", batch_id="b", index=number, scenario_id=1, scenario_position=0)
        for number in range(RUNS)
    ]
    store = open_store(url, driving="bench")
    try:
        await store.write(partial(batches.record_batch, batch=batch, planned=planned))
        return await each(lambda number: _life(store, planned[number], now), RUNS)
    finally:
        store.close()


async def _life(store: Any, run: Any, now: datetime) -> None:
    for unit in _units(run, now):
        await store.write(unit)


def _units(run: Any, now: datetime) -> list[Callable[[Any], Any]]:
    from dataclasses import replace

    from orchestrator.domain.plan import AgentKind, Evidence
    from orchestrator.domain.run import RunStatus
    from orchestrator.domain.session import End, Session, SessionStatus, Teardown
    from orchestrator.store import runs as run_rows
    from orchestrator.store import sessions

    nonce, later = f"n{run.index}", now + timedelta(hours=1)
    session = Session(
        nonce=nonce,
        batch_id="b",
        run_id=run.run_id,
        attempt=1,
        agent_kind=AgentKind.PIPECAT_CLOUD,
        agent_address="bot",
        status=SessionStatus.INTENT,
        intended_at=now,
        ends_by="its limit",
        ends_at=later,
        room_expires_at=later,
    )
    gone = End(state=Teardown.CONFIRMED, how="gone", at=now)
    made = {"session_id": f"s{run.index}", "room_url": f"https://x.daily.co/{nonce}", "meeting_token": None}

    def moves(before: RunStatus, after: RunStatus, also: Callable[[Any], Any] | None = None) -> Callable[[Any], None]:
        def unit(connection: Any) -> None:
            if not run_rows.record_run(connection, replace(run, status=after), believed=replace(run, status=before)):
                raise RuntimeError(run.run_id)
            if also is not None:
                also(connection)

        return unit

    status = RunStatus
    return [
        moves(status.PLANNED, status.STARTING, partial(sessions.record_intent, session=session, most=RUNS)),
        partial(sessions.record_sent, nonce=nonce, at=now),
        moves(status.STARTING, status.STARTED, partial(sessions.record_answer, nonce=nonce, at=now, **made)),
        moves(
            status.STARTED,
            status.READY,
            partial(sessions.record_ready, nonce=nonce, at=now, evidence=Evidence.PRESENCE),
        ),
        moves(
            status.READY,
            status.SUBMITTED,
            partial(sessions.record_called, nonce=nonce, cekura_run_id=run.index),
        ),
        moves(status.SUBMITTED, status.IN_CALL),
        moves(
            status.IN_CALL,
            status.CALL_ENDED,
            partial(sessions.record_condemned, nonce=nonce, at=now, reason="call ended", teardown_from=now),
        ),
        partial(sessions.record_ends, nonce=nonce, session_end=gone, room_end=gone, again_at=later),
        moves(status.CALL_ENDED, status.JUDGED),
    ]


def measure() -> list[dict[str, Any]]:
    """Each figure by its name, in milliseconds of CPU."""
    with sandbox_process() as (_, environment), state() as url:
        costs = asyncio.run(requests(environment))
        costs["the rows of one run, in nine units of work"] = asyncio.run(rows(url))
    return [{"name": name, "cpu_ms": cost} for name, cost in costs.items()]


def main() -> None:
    """Print each figure."""
    for row in measure():
        print(f"{row['cpu_ms']:6.2f} ms CPU  {row['name']}")
    print(f"({os.cpu_count()} cores; {AT_ONCE} at a time)")


if __name__ == "__main__":
    main()
