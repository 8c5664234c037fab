"""One trial: three workers on one PostgreSQL drive six batches; they and their database are struck as a seed says."""

import asyncio
import random
import signal
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.support.fleet import Fleet, started_twice
from tests.support.play import Play
from tests.support.postgres import PostgresServer

SPEED = 20.0
CALLS = {"speed": SPEED, "start_seconds": 0.5, "call_seconds": (80.0, 160.0), "connect_timeout": 6000.0}
LIMITS = {"ORCHESTRATOR_CALLS_LIMIT": "8", "ORCHESTRATOR_SESSIONS_LIMIT": "12"}
BLOWS = ("kill", "freeze", "stop", "database")


class Trial:
    """One server, one sandbox, and workers that come and go as the seed says."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self.blows, self.takeovers, self.outcomes, self.reasons = [], [], "", []

    async def play(self, blows):
        """Returns what did not hold, as sentences."""
        server = PostgresServer(durable=True)
        server.start()
        box = Play(**CALLS, calls_limit=50)
        with tempfile.TemporaryDirectory(prefix="orc-workers-") as folder:
            fleet = Fleet(url=server.create(), environment=box.environment() | LIMITS, folder=Path(folder), speed=SPEED)
            try:
                return await self._befall(fleet, server, box, blows)
            finally:
                fleet.close()
                box.close()
                server.stop()
                server.remove()

    async def _befall(self, fleet, server, box, blows):
        for _ in range(3):
            fleet.start()
        ids = [await fleet.create(runs=5, concurrency=4, calls=4, name=f"batch-{number}") for number in range(6)]
        await fleet.until(partial(fleet.in_call, ids[0], 1))
        for _ in range(blows):
            blow = self._random.choice(BLOWS)
            self.blows.append(blow)
            await self._strike(blow, fleet, server, ids)
            await asyncio.sleep(self._random.uniform(0.5, 4.0))
        await fleet.until(partial(fleet.all_closed, ids), limit=300)
        views = [await fleet.view(batch_id) for batch_id in ids]
        outcomes = [run.outcome for view in views for run in view.runs]
        self.outcomes = f"{outcomes.count('passed')} of {len(outcomes)} passed"
        self.reasons = sorted({run.reason for view in views for run in view.runs if run.outcome != "passed"})
        return list(broken(box, views))

    async def _strike(self, blow, fleet, server, ids):
        if blow == "database":
            server.stop()
            server.start()
            return
        owners = {await fleet.owner_of(batch_id) for batch_id in ids} - {None}
        living = [one for one in await fleet.living() if one.worker_id in owners]
        if not living:
            return
        victim = self._random.choice(living)
        process = await fleet.process_of(victim.worker_id)
        owned = [batch_id for batch_id in ids if await fleet.owner_of(batch_id) == victim.worker_id]
        struck_at = time.monotonic()
        process.send_signal({"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "stop": signal.SIGTERM}[blow])
        await fleet.until(lambda: left(fleet, owned, victim.worker_id))
        if blow != "stop":
            self.takeovers.append(time.monotonic() - struck_at)
        if blow == "freeze":
            process.send_signal(signal.SIGCONT)
        else:
            fleet.start()


async def left(fleet, owned, worker_id):
    """True when no open batch is this worker's any more, and somebody drives each."""
    rows = [await fleet.batch(batch_id) for batch_id in owned]
    return all(row.status == "closed" or row.owner not in {None, worker_id} for row in rows)


def broken(box, views):
    world = box.world()
    if world["sessions"]["alive"] or world["rooms"]["alive"]:
        yield f"{len(world['sessions']['alive'])} sessions and {len(world['rooms']['alive'])} rooms are alive"
    if world["submitted_twice"]:
        yield f"submitted twice: {world['submitted_twice']}"
    if started_twice(box.sandbox):
        yield f"started twice: {started_twice(box.sandbox)}"
    if world["calls"]["peak"] > 8:
        yield f"{world['calls']['peak']} calls at once, where 8 are allowed"
    if world["calls"]["peak_alive_sessions"] > 12:
        yield f"{world['calls']['peak_alive_sessions']} sessions at once, where 12 are allowed"
    for view in views:
        yield from (f"run {run.run_id} has no outcome" for run in view.runs if run.outcome is None)
        yield from (f"run {run.run_id}: {run.reason}" for run in view.runs if run.outcome == "failed")
