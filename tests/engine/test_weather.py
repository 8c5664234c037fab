"""What a hostile reader found: each once made a batch hang, leak, or believe what was not so."""

import asyncio
from dataclasses import replace

import pytest

from orchestrator.app.batches import cancel_leftovers, run_batch, view_batch
from orchestrator.clients import start as start_answers
from orchestrator.clients.cekura import CekuraClient
from orchestrator.domain.errors import OutcomeUnknown, StateUnusable
from orchestrator.domain.observation import StartRequest
from orchestrator.domain.plan import AgentKind
from orchestrator.domain.session import Teardown
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.store.database import Store
from tests.support.bench import in_call, until


async def test_starts_resume_after_submissions_were_refused_for_a_while(bench):
    async with asyncio.timeout(60):
        ended = await bench.run(
            "submit.busy=1", "submit.field_errors=1@1", scenarios="[{scenario: 101, repeat: 2}]", concurrency=1, calls=1
        )
    ended.assert_clean()
    assert sorted(ended.outcomes) == ["inconclusive", "passed"]


async def test_a_refused_cekura_key_ends_the_batch_instead_of_starting_bots_nobody_would_call(bench):
    ended = await bench.run("submit.refused=99", scenarios="[{scenario: 101, repeat: 8}]", concurrency=1, calls=1)
    ended.assert_clean()
    assert ended.world["sessions"]["started"] == 1
    assert ended.view.batch.refusal


async def test_capacity_is_waited_for_once_by_the_batch_and_not_by_every_run(bench):
    ended = await bench.run(
        "start.capacity_pcc=999", scenarios="[{scenario: 101, repeat: 8}]", more="timeouts: {capacity: 20}"
    )
    assert ended.outcomes == ["inconclusive"] * 8
    assert ended.world["requests"]["start"] <= 10


async def test_another_accounts_404_confirms_nothing(bench):
    theirs, ours = SandboxSettings(speed=bench.speed), SandboxSettings(speed=bench.speed, call_seconds=(300.0, 400.0))
    async with Sandbox(ours) as home, Sandbox(theirs) as elsewhere:
        async with bench.worker(home) as worker:
            batch_id = await bench.start(worker, bench.plan())
            running = asyncio.create_task(run_batch(worker, batch_id))
            await until(lambda: in_call(worker, batch_id) == 3)
        running.cancel()
        async with bench.worker(elsewhere) as worker:
            await cancel_leftovers(worker)
            collecting = asyncio.create_task(run_batch(worker, batch_id))
            await asyncio.wait([collecting], timeout=5)
            view = await view_batch(worker.store, batch_id)
        collecting.cancel()
    assert not [session for session in view.sessions if session.session_end.state is Teardown.CONFIRMED]


async def test_a_strangers_result_is_not_taken_for_ours(bench, monkeypatch):
    """Our POST never arrived; at that moment somebody else runs the same scenario on the same agent."""
    submit = CekuraClient.submit
    strangers = []

    async def with_a_stranger(self, *, rooms, **more):
        try:
            return await submit(self, rooms=rooms, **more)
        except OutcomeUnknown:
            agent = worker.remotes.agent(AgentKind.PIPECAT_CLOUD, "support-bot")
            session = await agent.start_session(StartRequest(body={}, room_properties={}, token_properties={}))
            await asyncio.sleep(0.4)
            room = replace(rooms[0], room_url=session.room_url, meeting_token=session.meeting_token)
            strangers.append(await submit(self, rooms=[room], **more))
            raise

    monkeypatch.setattr(CekuraClient, "submit", with_a_stranger)
    settings = SandboxSettings(speed=bench.speed, call_seconds=(8.0, 16.0), faults=("submit.lost_request=1",))
    async with Sandbox(settings) as box, bench.worker(box) as worker:
        text = bench.plan(scenarios="[{scenario: 101}]", more="timing: {lookup: 60}")
        batch_id = await bench.start(worker, text)
        await run_batch(worker, batch_id)
        view = await view_batch(worker.store, batch_id)
    assert len(strangers) == 1
    assert [str(run.outcome) for run in view.runs] == ["inconclusive"]
    assert view.runs[0].cekura_run_id is None


async def test_a_session_named_by_an_unusable_start_answer_is_stopped(bench, monkeypatch):
    parse, seen = start_answers.parse_room_url, []

    def distrust_the_first(url, *, daily_api_url):
        seen.append(url)
        return parse("https://rooms.example.com/x" if len(seen) == 1 else url, daily_api_url=daily_api_url)

    monkeypatch.setattr(start_answers, "parse_room_url", distrust_the_first)
    ended = await bench.run(scenarios="[{scenario: 101}]", sandbox={"carries_mark": False})
    assert ended.world["sessions"]["alive"] == []
    assert ended.outcomes == ["passed"]
    assert ended.world["starts"] == 2


@pytest.mark.parametrize("fault", ["room_get.error=2", "presence.error=3"])
async def test_a_runners_room_in_doubt_is_asked_about_again(bench, fault):
    ended = await bench.run(fault, runner=True)
    assert ended.outcomes == ["passed"] * 3
    assert ended.world["rooms"]["alive"] == []


async def test_a_state_that_cannot_be_written_for_a_while_costs_no_call_twice_and_leaves_nothing(bench, monkeypatch):
    full = asyncio.Event()
    write = Store.write

    async def refuse(self, work):
        if full.is_set():
            raise StateUnusable("the disk is full")
        return await write(self, work)

    monkeypatch.setattr(Store, "write", refuse)
    settings = SandboxSettings(speed=bench.speed, call_seconds=(80.0, 160.0))
    async with Sandbox(settings) as box:
        async with bench.worker(box) as worker:
            batch_id = await bench.start(worker, bench.plan())
            running = asyncio.create_task(run_batch(worker, batch_id))
            await until(lambda: in_call(worker, batch_id) == 3)
            full.set()
            await asyncio.sleep(1)
            full.clear()
            await running
            view = await view_batch(worker.store, batch_id)
        world = box.world()
    assert [str(run.outcome) for run in view.runs] == ["passed"] * 3
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == []
    assert world["submitted_twice"] == world["cut_short"] == []
    assert world["starts"] == 3
