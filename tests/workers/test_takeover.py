"""Workers die, freeze, and are replaced, and so does their database: nothing is left, paid twice, or cut short."""

import asyncio
import signal
from functools import partial

import pytest

pytestmark = pytest.mark.slow


async def test_a_killed_workers_batch_is_taken_over_in_the_middle_of_its_calls(play, fleet, assert_promises):
    box = play()
    ours = fleet(box)
    ours.start()
    ours.start()
    batch_id = await ours.create(runs=4)
    await ours.until(partial(ours.in_call, batch_id, 2))
    first = await ours.owner_of(batch_id)
    (await ours.process_of(first)).kill()
    await ours.until(partial(ours.all_closed, [batch_id]))
    view = await ours.view(batch_id)
    assert view.batch.owner != first
    assert [run.outcome for run in view.runs] == ["passed"] * 4
    assert_promises(box)


async def test_a_frozen_worker_that_thaws_pays_for_nothing_of_what_another_took(play, fleet, assert_promises):
    box = play()
    ours = fleet(box)
    ours.start()
    ours.start()
    batch_id = await ours.create(runs=6, concurrency=3, calls=3)
    await ours.until(partial(ours.in_call, batch_id, 2))
    first = await ours.owner_of(batch_id)
    frozen = await ours.process_of(first)
    frozen.send_signal(signal.SIGSTOP)
    await ours.until(lambda: taken_from(ours, batch_id, first))
    frozen.send_signal(signal.SIGCONT)
    await ours.until(partial(ours.all_closed, [batch_id]))
    view = await ours.view(batch_id)
    assert [run.outcome for run in view.runs] == ["passed"] * 6
    assert frozen.poll() is None, "it goes on as a worker of another name"
    await ours.until(lambda: begun_anew(ours, frozen, first))
    world = assert_promises(box)
    assert world["calls"]["peak"] <= 3
    assert world["calls"]["peak_alive_sessions"] <= 3


@pytest.mark.parametrize(("restarts", "batches"), [(1, 1), pytest.param(2, 3, marks=pytest.mark.workers)])
async def test_a_restart_of_the_database_under_load_loses_nothing(
    postgres_restartable, play, fleet, assert_promises, *, restarts, batches
):
    server, url = postgres_restartable
    box = play()
    ours = fleet(box, url=url)
    ours.start()
    ours.start()
    ids = [await ours.create(runs=6, concurrency=3, calls=3, name=f"load-{number}") for number in range(batches)]
    await ours.until(partial(ours.in_call, ids[0], 1))
    for _ in range(restarts):
        server.stop()
        server.start()
        await asyncio.sleep(1.5)
    await ours.until(partial(ours.all_closed, ids))
    for batch_id in ids:
        view = await ours.view(batch_id)
        assert [(run.outcome, run.reason) for run in view.runs] == [("passed", "")] * 6
    assert_promises(box)


@pytest.mark.parametrize(("batches", "runs"), [(1, 3), pytest.param(2, 5, marks=pytest.mark.workers)])
async def test_a_deploy_that_replaces_every_worker_cuts_no_call_short(play, fleet, assert_promises, batches, runs):
    box = play()
    ours = fleet(box)
    old = [ours.start(), ours.start()]
    ids = [await ours.create(runs=runs, concurrency=3, calls=3, name=f"deploy-{number}") for number in range(batches)]
    for batch_id in ids:
        await ours.until(partial(ours.in_call, batch_id, 1))
    for worker in old:
        ours.start()
        await ours.until(lambda: enough_living(ours, 3))
        worker.terminate()
        await ours.until(lambda worker=worker: ended(worker))
        assert worker.returncode == 0, ours.logs()
    await ours.until(partial(ours.all_closed, ids))
    for batch_id in ids:
        view = await ours.view(batch_id)
        assert [(run.outcome, run.attempt) for run in view.runs] == [("passed", 1)] * runs
    assert_promises(box)


@pytest.mark.workers
async def test_limits_over_all_batches_hold_whichever_worker_drives_them(play, fleet, assert_promises):
    box = play(call_seconds=(20.0, 40.0))
    ours = fleet(box, ORCHESTRATOR_CALLS_LIMIT="3", ORCHESTRATOR_SESSIONS_LIMIT="5")
    ours.start(ORCHESTRATOR_BATCHES_AT_ONCE="2")
    ours.start(ORCHESTRATOR_BATCHES_AT_ONCE="2")
    ids = [await ours.create(runs=4, concurrency=4, calls=4, name=f"share-{number}") for number in range(4)]
    await ours.until(partial(ours.all_closed, ids))
    world = assert_promises(box)
    assert world["calls"]["total"] == 16, ours.logs()
    assert world["calls"]["peak"] == 3
    assert world["calls"]["peak_alive_sessions"] <= 5
    owners = {(await ours.batch(batch_id)).owner for batch_id in ids}
    assert len(owners) == 2, "both had a part in it"


async def taken_from(ours, batch_id, worker_id):
    return await ours.owner_of(batch_id) not in {None, worker_id}


async def begun_anew(ours, process, old_name):
    return [one for one in await ours.living() if one.pid == process.pid and one.worker_id != old_name]


async def enough_living(ours, count):
    return len(await ours.living()) >= count


async def ended(worker):
    return worker.poll() is not None


async def test_workers_that_all_stop_at_once_do_not_leave_their_calls_to_each_other(play, fleet, assert_promises):
    box = play(call_seconds=(60.0, 60.0))
    ours = fleet(box)
    both = [ours.start(), ours.start()]
    await ours.until(lambda: enough_living(ours, 2))
    batch_id = await ours.create(runs=2, concurrency=2, calls=2)
    await ours.until(partial(ours.in_call, batch_id, 2))
    for worker in both:
        worker.terminate()
    for worker in both:
        await ours.until(lambda worker=worker: ended(worker))
    view = await ours.view(batch_id)
    assert all(session.torn_down for session in view.sessions), ours.logs()
    assert_promises(box)
