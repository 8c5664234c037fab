"""A submission of an automated channel, and a state that cannot be written, that is shared, or that another takes."""

import asyncio
from functools import partial

from sqlalchemy import update

from orchestrator.app.batches import cancel_batch, create_batch, view_batch
from orchestrator.plans import plan_from_text
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.store.tables import batches
from tests.engine.test_state_outages import Disk, any_unit
from tests.support.automated import LIVEKIT, VOICE, Automated, a_worker, play, play_with, wrongs
from tests.support.bench import SPEED, until
from tests.support.ordeal import virtually

LONG = {"call_seconds": (60.0, 60.0)}


def an_intent(unit):
    return getattr(unit, "__qualname__", "").startswith("Roster.apply_all")


def test_what_cannot_be_written_down_is_not_submitted(tmp_path):
    submits = []

    async def during(worker, box, _batch_id):
        disk = Disk(worker, begins=an_intent, seconds=60.0)
        await virtually(lambda: disk.full_since)
        await asyncio.sleep(55)
        submits.append(box.world()["requests"].get("submit", 0))

    case = Automated(during=during)
    ended = play(case, tmp_path)
    assert list(wrongs(case, ended)) == []
    assert submits == [0]
    assert ended.outcomes == {"passed": 2}


def test_nothing_is_submitted_once_everything_was_abandoned_while_the_state_was_away(tmp_path):
    async def during(worker, _box, batch_id):
        disk = Disk(worker, begins=an_intent, seconds=3.0)
        await virtually(lambda: disk.full_since, every=0.05)
        await worker.driver.abandon("interrupted")
        await asyncio.sleep(8)
        await cancel_batch(worker.store, batch_id, clock=worker.clock, reason="interrupted")

    ended = play(Automated(during=during), tmp_path)
    assert ended.world["requests"].get("submit", 0) == 0
    assert ended.submissions == {"refused": 1}


def test_an_answer_that_comes_while_the_state_cannot_be_written_is_not_forgotten(tmp_path):
    async def during(worker, box, _batch_id):
        await virtually(lambda: box.world()["requests"].get("submit"), every=0.1)
        Disk(worker, begins=any_unit, seconds=90.0)

    case = Automated(faults=("submit.slow=1",), during=during)
    ended = play(case, tmp_path)
    assert list(wrongs(case, ended)) == []
    assert ended.outcomes == {"passed": 2}
    assert ended.world["requests"]["submit"] == 1


def test_calls_that_nobody_could_write_down_are_ended_when_everything_is_abandoned(tmp_path):
    active = []

    async def during(worker, box, _batch_id):
        await virtually(lambda: box.world()["requests"].get("submit"), every=0.1)
        Disk(worker, begins=any_unit, seconds=60.0)
        await virtually(lambda: box.world()["calls"]["active"] == 2)
        await worker.driver.abandon("interrupted")
        await asyncio.sleep(2)
        active.append(box.world()["calls"]["active"])

    case = Automated(sandbox=LONG, during=during)
    ended = play(case, tmp_path)
    assert list(wrongs(case, ended)) == []
    assert active == [0]
    assert {run.status for run in ended.cekura_runs} == {"cancelled"}


def test_batches_of_every_channel_share_the_calls_of_all(tmp_path):
    """Two automated ones and one that is driven room by room; each alone would take all calls that there are."""
    rooms = """
version: 1
agent: {kind: pipecat_cloud, name: support-bot}
cekura: {agent: 5}
scenarios: [{scenario: 101, repeat: 4}]
limits: {concurrency: 4, calls: 4}
timeouts: {ready: 900, run: 900}
"""
    automated = [Automated(channel=one, cekura="frequency: 3", calls=4).text() for one in (LIVEKIT, VOICE)]

    async def scene():
        settings = SandboxSettings(call_seconds=(10.0, 15.0), evaluate_seconds=4.0, calls_limit=20)
        async with Sandbox(settings) as box, a_worker(tmp_path, box, ORCHESTRATOR_CALLS_LIMIT="3") as worker:
            loaded = [plan_from_text(text, name="test") for text in (rooms, *automated)]
            ids = [(await create_batch(worker, one)).batch_id for one in loaded]
            await asyncio.gather(*(worker.driver.drive(one) for one in ids))
            return [await view_batch(worker.store, one) for one in ids], box.world()

    views, world = play_with(scene)
    assert [str(run.outcome) for view in views for run in view.runs] == ["passed"] * 16
    assert world["calls"]["total"] == 16
    assert world["calls"]["peak"] == 3


async def test_a_batch_that_another_worker_takes_in_mid_submission_has_one_owner_and_one_submission(
    bench, postgres_url
):
    settings = SandboxSettings(speed=SPEED, call_seconds=(20.0, 40.0), faults=("submit.slow=1",))
    shared = {"ORCHESTRATOR_DATABASE_URL": postgres_url}
    text = Automated(cekura="frequency: 2").text()
    async with Sandbox(settings) as box, bench.worker(box, **shared) as first, bench.worker(box, **shared) as second:
        batch = await create_batch(first, plan_from_text(text, name="test"), speed=SPEED)
        driving = asyncio.create_task(first.driver.drive(batch.batch_id))
        await until(lambda: box.world()["requests"].get("submit"))
        await second.store.write(partial(hand_over, batch_id=batch.batch_id, worker_id=second.membership.worker_id))
        await second.driver.drive(batch.batch_id)
        await asyncio.wait_for(driving, 20)
        view, world = await view_batch(second.store, batch.batch_id), box.world()
    assert view.batch.owner == second.membership.worker_id
    assert [(str(run.outcome), run.attempt) for run in view.runs] == [("passed", 1)] * 4
    assert (world["requests"]["submit"], world["submits"], world["calls"]["total"]) == (1, 1, 4)
    [submission] = view.submissions
    assert submission.status == "accepted"


def hand_over(connection, *, batch_id, worker_id):
    """As when the first worker's lease had run out."""
    connection.execute(update(batches).where(batches.c.batch_id == batch_id).values(owner=worker_id))
