"""Workers keep one pool between them: killed, frozen, stopped, and at once asked for what waits in it."""

import asyncio
import signal
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from orchestrator.app.pools import pause_pool, resume_pool
from orchestrator.store import pools as pool_rows
from tests.support.pools import kept, ready, waiting

pytestmark = pytest.mark.slow

MOST = 4
SERVICE = """
version: 1
pools:
  - name: support
    agent: {{kind: pipecat_cloud, name: support-bot}}
    min_ready: {min_ready}
    max_alive: {most}
    max_age: 20m
    idle_timeout: 30m
    starts_per_minute: 120
    ready: 10m
    run: 50m
    hours: {hours}
"""
LIVING = {"idle_timeout": 3600.0}  # bots that wait for as long as a busy machine may take


@pytest.fixture
def file(tmp_path):
    """Writes service files with the pool; none where `min_ready` is None."""

    def write(name="serve", *, min_ready=2, hours="[]"):
        text = "version: 1" if min_ready is None else SERVICE.format(min_ready=min_ready, most=MOST, hours=hours)
        path = tmp_path / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


async def test_a_killed_owners_sessions_wait_on_with_another_and_are_given_to_runs(play, fleet, file, assert_promises):
    box = play(**LIVING)
    ours = fleet(box, ORCHESTRATOR_SESSIONS_LIMIT="5")
    begin(ours, file(), workers=2)
    await ours.until(lambda: filled(ours, 2))
    before = await nonces(ours)
    first = await owner(ours)
    (await ours.process_of(first)).kill()
    await ours.until(lambda: kept_by_another(ours, first))
    await ours.until(lambda: filled(ours, 2))
    assert await nonces(ours) == before, "a pool that changes hands keeps what waits"

    batch_id = await ours.create(runs=4, concurrency=2, calls=2, pool="support")
    await ours.until(partial(ours.all_closed, [batch_id]))
    view = await ours.view(batch_id)
    assert [run.outcome for run in view.runs] == ["passed"] * 4
    assert before <= {run.nonce for run in view.runs}
    await assert_stops_empty(ours)
    assert assert_promises(box)["calls"]["peak_alive_sessions"] <= 5


@pytest.mark.workers
async def test_an_owner_frozen_in_the_middle_of_a_start_starts_nothing_when_it_thaws(
    play, fleet, file, assert_promises
):
    box = play(**LIVING | {"start_seconds": 30.0})
    ours = fleet(box)
    begin(ours, file(), workers=2)
    await ours.until(lambda: started(box))
    first = await owner(ours)
    frozen = await ours.process_of(first)
    frozen.send_signal(signal.SIGSTOP)
    await ours.until(lambda: kept_by_another(ours, first))
    await ours.until(lambda: filled(ours, 2))
    before = box.world()["starts"]
    frozen.send_signal(signal.SIGCONT)
    await ours.until(lambda: begun_anew(ours, frozen, first))
    await ours.until(lambda: alive_are(ours, box, 2))
    assert box.world()["starts"] == before
    assert frozen.poll() is None
    await assert_stops_empty(ours)
    assert assert_promises(box)["calls"]["peak_alive_sessions"] <= MOST


@pytest.mark.workers
async def test_batches_of_several_workers_take_from_one_pool_and_no_session_is_given_twice(
    play, fleet, file, assert_promises
):
    box = play(**LIVING | {"call_seconds": (30.0, 50.0)})
    ours = fleet(box, ORCHESTRATOR_BATCHES_AT_ONCE="1")
    begin(ours, file(min_ready=4), workers=3)
    await ours.until(lambda: filled(ours, 4))
    warm = await nonces(ours)
    ids = [
        await ours.create(runs=3, concurrency=2, calls=2, pool="support", name=f"share-{number}") for number in range(3)
    ]
    await ours.until(partial(ours.all_closed, ids))
    views = [await ours.view(batch_id) for batch_id in ids]
    runs = [run for view in views for run in view.runs]
    assert [run.outcome for run in runs] == ["passed"] * 9
    assert len({run.nonce for run in runs}) == 9
    assert warm <= {run.nonce for run in runs}
    assert len({view.batch.owner for view in views}) == 3
    await ours.until(lambda: filled(ours, 4))

    await pause_pool(ours.store, "support", clock=ours.clock, actor="test")
    await ours.until(lambda: emptied(ours, box))
    await resume_pool(ours.store, "support", clock=ours.clock, actor="test")
    await ours.until(lambda: filled(ours, 4))
    begin(ours, file("closed", hours=hours_away()), workers=1)
    await ours.until(lambda: emptied(ours, box))
    begin(ours, file("open", min_ready=1), workers=1)
    await ours.until(lambda: filled(ours, 1))
    begin(ours, file("none", min_ready=None), workers=1)
    await ours.until(lambda: emptied(ours, box))
    assert assert_promises(box)["calls"]["peak_alive_sessions"] <= MOST + 6


async def test_who_stops_hands_what_waits_to_the_next_and_the_last_one_lets_it_go(play, fleet, file, assert_promises):
    box = play(**LIVING)
    ours = fleet(box)
    # Nobody dies here: on a busy machine a short lease could run out, and who stops would be the last one.
    begin(ours, file(), workers=2, ORCHESTRATOR_LEASE_SECONDS="20")
    await ours.until(lambda: enough_living(ours, 2))
    await ours.until(lambda: filled(ours, 2))
    before = await nonces(ours)
    stopped = await ours.process_of(await owner(ours))
    stopped.terminate()
    await ours.until(lambda: ended(stopped))
    assert stopped.returncode == 0, ours.logs()
    await ours.until(lambda: owner(ours))
    await asyncio.sleep(1)
    assert await nonces(ours) == before
    await assert_stops_empty(ours)
    assert assert_promises(box)["starts"] == 2


# --- what is done and looked at --------------------------------------------------------------------------------------


def begin(ours, config, *, workers, **environment):
    for _ in range(workers):
        ours.start("--config", str(config), **environment)


async def assert_stops_empty(ours):
    """Stop whoever is left, one after the other: the last one leaves nothing."""
    for worker in [one for one in ours.workers if one.poll() is None]:
        worker.terminate()
        await ours.until(lambda worker=worker: ended(worker))
        assert worker.returncode == 0, ours.logs()


async def nonces(ours):
    return {one.nonce for one in await ready(ours.store)}


async def filled(ours, count):
    return len(await ready(ours.store)) == count == len(await waiting(ours.store))


async def emptied(ours, box):
    return not await kept(ours.store) and not box.world()["sessions"]["alive"]


async def alive_are(ours, box, count):
    """True when what lives is what waits ready, and that is so many."""
    rows = await ready(ours.store)
    return len(rows) == count and {one["id"] for one in box.world()["sessions"]["alive"]} == {
        one.session_id for one in rows
    }


async def started(box):
    return box.world()["sessions"]["started"]


async def owner(ours):
    return (await ours.store.read(partial(pool_rows.get_pool, name="support"))).owner


async def kept_by_another(ours, worker_id):
    return await owner(ours) not in {None, worker_id}


async def begun_anew(ours, process, old_name):
    return [one for one in await ours.living() if one.pid == process.pid and one.worker_id != old_name]


async def enough_living(ours, count):
    return len(await ours.living()) >= count


async def ended(worker):
    return worker.poll() is not None


def hours_away():
    """Hours of the day that are not now, nor soon."""
    opens = datetime.now(UTC) + timedelta(hours=6)
    return f'[{{open: "{opens:%H}:00", close: "{opens:%H}:59"}}]'
