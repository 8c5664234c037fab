"""Windows that a kill or a cancel can hit: between two commits, or while a paid answer is on its way."""

import asyncio

import pytest

from orchestrator.app.batches import cancel_batch, run_batch, view_batch
from orchestrator.clients.cekura import CekuraClient
from orchestrator.domain.run import SubmissionAccepted, SubmissionFailed
from orchestrator.engine.roster import Roster
from orchestrator.sandbox import Sandbox, SandboxSettings

TWO_RUNS = "[{scenario: 101, repeat: 2}]"


@pytest.mark.parametrize(("fault", "outcome"), [((), "passed"), (("submit.detail=1",), "inconclusive")])
async def test_a_submission_settled_just_before_the_end_of_the_process_reaches_its_run_and_the_next_is_called_too(
    bench, monkeypatch, fault, outcome
):
    reached = asyncio.Event()
    apply = Roster.apply

    async def stuck(self, run_id, fact, **more):
        if isinstance(fact, SubmissionAccepted | SubmissionFailed):
            reached.set()
            await asyncio.Event().wait()
        return await apply(self, run_id, fact, **more)

    settings = SandboxSettings(speed=bench.speed, call_seconds=(8.0, 16.0), faults=fault)
    async with Sandbox(settings) as box:
        with monkeypatch.context() as patched:
            patched.setattr(Roster, "apply", stuck)
            async with bench.worker(box) as worker:
                batch_id = await bench.start(worker, bench.plan(scenarios=TWO_RUNS, calls=1))
                running = asyncio.create_task(run_batch(worker, batch_id))
                await reached.wait()
            running.cancel()
        async with bench.worker(box) as worker:
            async with asyncio.timeout(30):
                await run_batch(worker, batch_id)
            view = await view_batch(worker.store, batch_id)
        world = box.world()
    assert [str(run.outcome) for run in view.runs] == [outcome, "passed"]
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == []
    assert world["submitted_twice"] == world["cut_short"] == []


async def test_a_call_placed_while_the_batch_is_cancelled_is_ended_and_not_cut_short(bench, monkeypatch):
    asked = asyncio.Event()
    submit = CekuraClient.submit

    async def slowly(self, **submission):
        answer = await submit(self, **submission)
        asked.set()
        await asyncio.sleep(0.5)
        return answer

    monkeypatch.setattr(CekuraClient, "submit", slowly)
    settings = SandboxSettings(speed=bench.speed, call_seconds=(300.0, 400.0))
    async with Sandbox(settings) as box:
        async with bench.worker(box) as worker:
            batch_id = await bench.start(worker, bench.plan(scenarios="[{scenario: 101}]"))
            running = asyncio.create_task(run_batch(worker, batch_id))
            await asked.wait()
            await cancel_batch(worker.store, batch_id, clock=worker.clock, reason="cancelled by a test")
            await running
        world = box.world()
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == []
    assert world["cut_short"] == []


async def test_a_session_whose_answer_is_still_on_its_way_is_not_taken_for_a_lost_one(bench):
    """Nobody else starts the agent, but we do: what no row holds yet may belong to a start under way."""
    ended = await bench.run(
        "start.lost_request=1",
        "start.slow=3",
        agent=", exclusive: true",
        scenarios="[{scenario: 101, repeat: 4}]",
        more="timing: {lookup: 60}",
    )
    assert sorted(ended.outcomes) == ["inconclusive", "passed", "passed", "passed"]
    assert ended.world["sessions"]["started"] == 3
    assert sum(run.attempt for run in ended.view.runs) == 4
    assert ended.world["sessions"]["alive"] == ended.world["cut_short"] == []
