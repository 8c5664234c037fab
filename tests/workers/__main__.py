"""`python -m tests.workers` (`make workers`): several workers under random blows, one trial for each seed, and a table.

Three workers on one PostgreSQL drive six batches. Workers are killed, frozen for longer than their lease and thawed, or
told to stop, and others are started; the database is restarted. Then nothing may be alive, started or submitted twice,
and no limit may have been passed. `--throughput` plays one load with one worker and with two instead.
"""

import argparse
import asyncio
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks import workers as team
from tests.support.fleet import LEASE, Fleet, started_twice
from tests.support.play import Play
from tests.support.postgres import PostgresServer

SPEED = 20.0
CALLS = {"speed": SPEED, "start_seconds": 0.5, "call_seconds": (80.0, 160.0), "connect_timeout": 6000.0}
LIMITS = {"ORCHESTRATOR_CALLS_LIMIT": "8", "ORCHESTRATOR_SESSIONS_LIMIT": "12"}
BLOWS = ("kill", "freeze", "stop", "database")


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main():
    parser = argparse.ArgumentParser(prog="python -m tests.workers", description=__doc__)
    parser.add_argument("--seeds", type=int, default=int(os.environ.get("SEEDS") or 5), metavar="N", help="trials")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--blows", type=int, default=5, metavar="N", help="in each trial")
    parser.add_argument("--throughput", action="store_true", help="one worker beside two, with the same load")
    chosen = parser.parse_args()
    if chosen.throughput:
        await throughput()
        return 0
    say(f"leases of {LEASE:g} s; the sandbox is {SPEED:g} times faster than life; a takeover is in real seconds")
    takeovers, broken = [], 0
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        trial = Trial(seed)
        wrong = await trial.play(chosen.blows)
        takeovers += trial.takeovers
        broken += bool(wrong)
        say(f"seed {seed}: {', '.join(trial.blows)}; {trial.outcomes}; {'; '.join(wrong) or 'every promise held'}")
        for reason in trial.reasons:
            say(f"    not passed: {reason}")
    if takeovers:
        say(
            f"taken over {len(takeovers)} times: median {statistics.median(takeovers):.1f} s after the blow, "
            f"longest {max(takeovers):.1f} s"
        )
    say(f"{chosen.seeds} trials, {broken} with a broken promise")
    return int(broken > 0)


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


async def throughput():
    """The same load for one worker and for two, each of which drives two batches at once."""
    for line in team.lines(await team.loads(1)):
        say(line)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
