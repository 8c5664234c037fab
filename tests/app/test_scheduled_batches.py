"""A worker with a schedule, whole: it fires, its batches are driven to their end, and nothing is left."""

import asyncio
from itertools import pairwise

from orchestrator.app import schedules as cases
from orchestrator.app.batches import view_batch
from orchestrator.app.selection import unable
from orchestrator.app.service import Service
from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.schedule import FireDecision, Overlap
from orchestrator.domain.verdict import Outcome
from orchestrator.engine.scheduler import Scheduler
from orchestrator.sandbox import Sandbox, SandboxSettings
from tests.support.bench import SPEED, Bench
from tests.support.timetable import a_schedule, batches_in, fires_in

ENOUGH = 2


async def until(worker, condition):
    while not condition(await batches_in(worker.store)):  # noqa: ASYNC110  what is awaited is a picture of many rows
        await asyncio.sleep(0.05)


async def test_batches_of_a_schedule_run_one_after_the_other_and_leave_nothing(tmp_path):
    bench = Bench(folder=tmp_path)
    lags = []
    async with Sandbox(SandboxSettings(speed=SPEED, call_seconds=(8.0, 16.0))) as box, bench.worker(box) as worker:
        # More often than any service file may ask for, and each batch takes longer than that.
        schedule = a_schedule(every=1.0, overlap=Overlap.QUEUE, plan=bench.plan(scenarios="[{scenario: 101}]"))
        await cases.sync_schedules(worker.store, [schedule], clock=worker.clock)
        scheduler = Scheduler(
            store=worker.store,
            clock=worker.clock,
            environ={},
            resolve=unable,
            speed=SPEED,
            told=lambda name, _decision, lag: lags.append((name, lag)),
            fired=worker.dispatcher.wake,
        )
        serving = asyncio.create_task(Service(worker, parts=[scheduler.run]).serve())
        async with asyncio.timeout(60):
            await until(worker, lambda batches: sum(one.status is BatchStatus.CLOSED for one in batches) >= ENOUGH)
            await cases.pause_schedule(worker.store, "nightly", clock=worker.clock, actor="test")
            await until(worker, lambda batches: all(one.status is BatchStatus.CLOSED for one in batches))
        serving.cancel()
        await asyncio.wait([serving])
        batches = await batches_in(worker.store)
        views = [await view_batch(worker.store, one.batch_id) for one in batches]
        fires = await fires_in(worker.store)
    assert [view.batch.outcome for view in views] == [Outcome.PASSED] * len(views)
    assert all(later.created_at >= earlier.closed_at for earlier, later in pairwise(batches))
    assert {fire.batch_id for fire in fires if fire.decision is FireDecision.FIRED} == {one.batch_id for one in batches}
    assert lags
    world = box.world()
    assert (world["sessions"]["alive"], world["rooms"]["alive"], world["submitted_twice"]) == ([], [], [])
