"""Calls of all batches: a bot that waits because others have them all is not Cekura's fault, and costs no retry."""

import asyncio

from orchestrator.app.batches import create_batch, view_batch
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings

SPEED = 12.0  # not faster: submissions are tried less often than changes wake the submitter, as in life


async def test_a_bot_that_waits_for_a_call_of_all_batches_is_not_given_up_for_it(bench):
    text = bench.plan(
        scenarios="[{scenario: 101, repeat: 2}]",
        concurrency=2,
        calls=2,
        more="timeouts: {ready: 15, run: 600}",
    )
    settings = SandboxSettings(speed=SPEED, call_seconds=(20.0, 20.0), evaluate_seconds=60.0, join_seconds=(1.0, 2.0))
    async with Sandbox(settings) as box, bench.worker(box, ORCHESTRATOR_CALLS_LIMIT="2") as worker:
        loaded = plan_from_text(text, name="test")
        ids = [(await create_batch(worker, loaded, speed=SPEED)).batch_id for _ in range(2)]
        await asyncio.gather(*(worker.dispatcher.run(one) for one in ids))
        views = [await view_batch(worker.store, one) for one in ids]
    runs = [run for view in views for run in view.runs]
    assert [(run.outcome, run.retries_used) for run in runs] == [("passed", 0)] * 4
    waits = [run.timeline["submitted"] - run.timeline["ready"] for run in runs]
    assert max(waits).total_seconds() * SPEED > 15
