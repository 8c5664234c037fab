"""Several real workers on one PostgreSQL, against one sandbox: started, killed, frozen, thawed, replaced, reaped."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import partial

from orchestrator.app.batches import view_batch
from orchestrator.clock import SystemClock
from orchestrator.domain.batch import BatchStatus, Origin
from orchestrator.plans import new_batch, plan_from_text
from orchestrator.store import batches as batch_rows
from orchestrator.store import workers as worker_rows
from orchestrator.store.database import open_store

LEASE = 2.0  # seconds, real ones
LIMIT = 120.0
KEPT = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
PLAN = """
version: 1
name: {name}
agent: {{kind: pipecat_cloud, name: support-bot}}
cekura: {{agent: 5, mock_tool_names: []}}
scenarios: [{{scenario: {scenario}, repeat: {runs}}}]
limits: {{concurrency: {concurrency}, calls: {calls}, starts_per_second: 5}}
timeouts: {{ready: 600, run: 3000, capacity: 3000}}
retries: {{infrastructure: 2}}
gate: {{min_pass_rate: 0.0, max_inconclusive: {runs}}}
"""


@dataclass
class Fleet:
    """`speed` is the sandbox's; leases run in real seconds, as the database counts them."""

    url: str
    environment: dict[str, str]
    folder: object
    speed: float
    workers: list[subprocess.Popen] = field(default_factory=list)

    def __post_init__(self):
        self.store = open_store(self.url, driving=None)
        self.clock = SystemClock()

    def start(self, *arguments, **environment):
        """One more worker."""
        command = ["serve", "--port", "0", "--time-scale", f"{self.speed:g}", "--log-level", "INFO"]
        own = {
            "ORCHESTRATOR_DATABASE_URL": self.url,
            "ORCHESTRATOR_LEASE_SECONDS": f"{LEASE:g}",
            "PYTHONUNBUFFERED": "1",
        }
        with (self.folder / f"worker-{len(self.workers)}.log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "orchestrator.cli", *command, *arguments],
                cwd=self.folder,
                env=KEPT | self.environment | own | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)
        return worker

    async def serving(self, worker):
        """Where a worker answers over HTTP, once it does."""

        async def found():
            assert worker.poll() is None, self.logs()
            return await self.serving_now(worker)

        return await self.until(found)

    async def serving_now(self, worker):
        """The same; None where it does not yet."""
        log = self.folder / f"worker-{self.workers.index(worker)}.log"
        said = re.search(r" serves .* at (http://\S+)", log.read_text(encoding="utf-8"))
        return said.group(1) if said else None

    async def create(self, *, runs=4, concurrency=4, calls=4, scenario=101, name="shared", pool=None):
        """A batch that waits for whichever worker is free."""
        text = PLAN.format(name=name, runs=runs, concurrency=concurrency, calls=calls, scenario=scenario)
        text = text.replace("support-bot", f"support-bot, pool: {pool}") if pool else text
        loaded = plan_from_text(text)
        batch, planned = new_batch(loaded, now=self.clock.now(), speed=self.speed, origin=Origin.API)
        await self.store.write(partial(batch_rows.record_batch, batch=batch, planned=planned))
        return batch.batch_id

    async def batch(self, batch_id):
        return await self.store.read(partial(batch_rows.get_batch, batch_id=batch_id))

    async def view(self, batch_id):
        return await view_batch(self.store, batch_id)

    async def until(self, condition, *, limit=LIMIT):
        """Wait until an async condition holds; returns what it gave."""
        ends = time.monotonic() + limit
        while True:
            found = await condition()
            if found:
                return found
            assert time.monotonic() < ends, self.logs()
            await asyncio.sleep(0.1)

    async def all_closed(self, batch_ids):
        rows = [await self.batch(one) for one in batch_ids]
        return all(row.status is BatchStatus.CLOSED for row in rows)

    async def owner_of(self, batch_id):
        return (await self.batch(batch_id)).owner

    async def living(self):
        return await self.store.read(partial(worker_rows.get_living, now=self.clock.now()))

    async def in_call(self, batch_id, count=1):
        """True when so many runs of a batch are in their call."""
        view = await self.view(batch_id)
        return sum(run.status == "in_call" for run in view.runs) >= count

    async def process_of(self, worker_id):
        """The process that goes by this name now."""
        known = {one.worker_id: one.pid for one in await self.store.read(worker_rows.list_workers)}
        return next(worker for worker in self.workers if worker.pid == known[worker_id])

    def logs(self):
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')}" for path in sorted(self.folder.glob("worker-*.log"))
        )

    def close(self):
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait(10)
        self.store.close()


def started_twice(sandbox):
    """Marks that were given to more than one session."""
    from tests.support.promises import mark_of

    marks = [mark_of(one) for one in sandbox._world.sessions.all.values()]
    return sorted({mark for mark in marks if mark and marks.count(mark) > 1})
