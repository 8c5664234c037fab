"""One run whose start or submit answer is lost: the cells of that matrix, and how each is played.

Many cells are played side by side in one process.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestrator.app.batches import BatchView, create_batch, view_batch
from orchestrator.domain.submission import Submission
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.store import submissions as submission_rows
from tests.support.bench import SPEED, Bench

AT_ONCE = 24  # cells played side by side: they mostly wait
NOTHING_DONE = frozenset({"lost_request", "error"})
COMMON = ("lost_request", "lost_answer", "late", "truncated", "not_json", "wrong_type", "oversized", "error")
OF_RUNNERS = ("plain_error", "null")
NO_DAILY = {"DAILY_API_KEY": None, "ORCHESTRATOR_DAILY_KEYS": None}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is lost, and what there is to find it by."""

    operation: str
    fault: str
    runner: bool
    mark: bool
    exclusive: bool
    daily: bool
    private: bool

    def __str__(self):
        names = ("mark", "exclusive", "daily", "private")
        held = [name if getattr(self, name) else f"no {name}" for name in names]
        kind = "pipecat_runner" if self.runner else "pipecat_cloud"
        return f"{self.operation}.{self.fault} on {kind} ({', '.join(held)})"

    @property
    def done(self):
        """Whether the remote did something although nobody was told."""
        return self.fault not in NOTHING_DONE

    @property
    def marked(self):
        """A start whose room the mark leads to: its bot reached the room, and a Daily key shows who is there."""
        return self.mark and self.daily and self.done and self.fault not in OF_RUNNERS

    @property
    def listed(self):
        """A start whose session is known as ours by exclusion: only Pipecat Cloud lists, and to its private key."""
        return self.exclusive and self.private and self.done and not self.runner

    @property
    def plan(self):
        agent = ", exclusive: true" if self.exclusive else ""
        findable = self.marked or self.listed if self.operation == "start" else self.done
        # What can be found is found within this on a busy machine; for what cannot, waiting longer shows no more.
        lookup = 400 if findable else 40
        more = f"timing: {{lookup: {lookup}}}\ntimeouts: {{ready: 900, run: 4000, judge: 4000}}"
        return {"scenarios": "[{scenario: 101}]", "agent": agent, "more": more}


@dataclass(frozen=True, kw_only=True)
class Played:
    """What the rows and the world say after a cell's batch; `alive_at_end` is the world at that very moment."""

    view: BatchView
    world: dict
    submissions: list[Submission]

    @property
    def run(self):
        return self.view.runs[0]

    @property
    def sessions(self):
        return self.view.sessions


def cells(operation, *, runner):
    """Each fault with four sets of what there is to find it by; over all faults every two values meet."""
    faults = COMMON + (OF_RUNNERS if runner and operation == "start" else ())
    for number, fault in enumerate(faults):
        first = (number * 5 + runner * 3) % 16
        for bits in (first, first ^ 0b1111):
            mark, exclusive, daily, private = (bool(bits >> place & 1) for place in range(4))
            yield Cell(
                operation=operation,
                fault=fault,
                runner=runner,
                mark=mark,
                exclusive=exclusive,
                daily=daily,
                private=private,
            )


def every_way_to_find(operation, fault, *, runner):
    """One fault with every set of what there is to find it by; a runner knows no private key."""
    for bits in range(8 if runner else 16):
        mark, exclusive, daily, private = (bool(bits >> place & 1) for place in range(4))
        yield Cell(
            operation=operation,
            fault=fault,
            runner=runner,
            mark=mark,
            exclusive=exclusive,
            daily=daily,
            private=private,
        )


async def play(cell, folder, **sandbox):
    """Run the one run of a cell to its end."""
    settings = SandboxSettings(
        **{
            "speed": SPEED,
            "faults": (f"{cell.operation}.{cell.fault}=1",),
            "carries_mark": cell.mark,
            "call_seconds": (120.0, 130.0) if cell.operation == "submit" else (8.0, 16.0),
            **sandbox,
        }
    )
    keys = ({} if cell.daily else NO_DAILY) | ({} if cell.private else {"PIPECAT_CLOUD_PRIVATE_KEY": None})
    folder.mkdir()
    bench = Bench(folder=folder)
    async with Sandbox(settings) as box, bench.worker(box, **keys) as worker:
        loaded = plan_from_text(bench.plan(**cell.plan, runner=box.url if cell.runner else None), name="test")
        batch = await create_batch(worker, loaded, speed=SPEED)
        await worker.driver.drive(batch.batch_id)
        return Played(
            world=box.world(),
            view=await view_batch(worker.store, batch.batch_id),
            submissions=await worker.store.read(partial(submission_rows.list_submissions, batch_id=batch.batch_id)),
        )


async def play_all(played, folder: Path, check, **sandbox):
    """Play cells side by side and say of each what `check(cell, played)` found wrong."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(number, cell):
        async with slots:
            try:
                ended = await asyncio.wait_for(play(cell, folder / str(number), **sandbox), 60)
            except TimeoutError:
                return [f"{cell}: it did not end"]
        return [f"{cell}: {wrong}" for wrong in check(cell, ended)]

    numbered = list(enumerate(played))
    found = await asyncio.gather(*(one(number, cell) for number, cell in numbered if cell.fault != "oversized"))
    # By themselves: a loop that is busy with megabytes looks too late for the others' testers, and for its own.
    heavy = [await one(number, cell) for number, cell in numbered if cell.fault == "oversized"]
    return [wrong for wrongs in [*found, *heavy] for wrong in wrongs]
