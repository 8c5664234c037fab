"""Workers die, freeze and lose their database while they decide fires: each occurrence fires once, with one batch."""

import asyncio
import itertools
import signal
from datetime import timedelta
from functools import partial

import psycopg
import pytest
from sqlalchemy import update

from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.schedule import FireDecision
from orchestrator.store import batches as batch_rows
from orchestrator.store import fires as fire_rows
from orchestrator.store.tables import schedules
from tests.support.fleet import PLAN

pytestmark = pytest.mark.slow

MINUTE = timedelta(minutes=1)
SERVICE = """
version: 1
schedules:
  - {name: each, plan: small.yaml, every: 1m, overlap: allow, missed: all, window: 6h}
  - {name: in-line, plan: small.yaml, every: 1m, overlap: queue, missed: all, window: 6h}
"""
SHORT = {"call_seconds": (10.0, 20.0), "evaluate_seconds": 2.0}


@pytest.mark.workers
async def test_no_fire_is_lost_or_doubled_whatever_befalls_who_decides_it(
    postgres_restartable, play, fleet, assert_promises, tmp_path
):
    server, url = postgres_restartable
    box = play(**SHORT)
    ours = fleet(box, url=url)
    config = service_file(tmp_path)
    for worker in [start(ours, server, config, name) for name in ("one", "two", "three")]:
        await ours.serving(worker)

    killed, since = await struck_while_it_decides(ours, server, minutes=8, blow=lambda one: one.kill())
    killed.wait(10)
    await ours.serving(start(ours, server, config, "four"))
    await ours.until(lambda: all_decided(ours, since))

    frozen, since = await struck_while_it_decides(ours, server, minutes=16, blow=freeze)
    await ours.until(lambda: all_decided(ours, since))
    frozen.send_signal(signal.SIGCONT)

    _, since = await struck_while_it_decides(ours, server, minutes=24, blow=lambda _: restart(server))
    await ours.until(lambda: all_decided(ours, since))

    await ours.until(lambda: nothing_open(ours))
    await assert_fired_once(ours, since=since)
    assert_promises(box)


async def test_no_fire_is_lost_or_doubled_when_who_decides_it_is_killed(
    postgres_restartable, play, fleet, assert_promises, tmp_path
):
    server, url = postgres_restartable
    box = play(**SHORT)
    ours = fleet(box, url=url)
    config = service_file(tmp_path)
    for worker in [start(ours, server, config, name) for name in ("one", "two")]:
        await ours.serving(worker)

    killed, since = await struck_while_it_decides(ours, server, minutes=8, blow=lambda one: one.kill())
    killed.wait(10)
    await ours.until(lambda: all_decided(ours, since))

    await ours.until(lambda: nothing_open(ours))
    await assert_fired_once(ours, since=since)
    assert_promises(box)


async def assert_fired_once(ours, *, since):
    fires = await fires_of(ours, "each")
    batches = await all_batches(ours)
    assert [fire.decision for fire in fires] == [FireDecision.FIRED] * len(fires)
    moments = [fire.due_at for fire in fires]
    assert moments == [moments[0] + number * MINUTE for number in range(len(moments))], "each minute, once"
    assert moments[0] - since <= MINUTE
    assert sorted(fire.batch_id for fire in fires) == sorted(one.batch_id for one in batches if one.schedule == "each")
    keys = [one.client_key for one in batches]
    assert len(keys) == len(set(keys))
    await assert_in_line(ours, [one for one in batches if one.schedule == "in-line"])
    runs = [run for batch in batches for run in (await ours.view(batch.batch_id)).runs]
    assert len(runs) == len(batches)
    assert all(run.outcome == "passed" or (run.outcome == "inconclusive" and run.reason) for run in runs)
    assert [run.outcome for run in runs].count("passed") > len(runs) / 2, ours.logs()


async def assert_in_line(ours, batches):
    """Each fire of it has its one batch, none of them began while an earlier one was open, and nothing waits."""
    fires = await fires_of(ours, "in-line")
    assert FireDecision.QUEUED not in {fire.decision for fire in fires}
    fired = [fire.batch_id for fire in fires if fire.decision is FireDecision.FIRED]
    assert sorted(fired) == sorted(one.batch_id for one in batches)
    in_order = sorted(batches, key=lambda one: one.created_at)
    for before, after in itertools.pairwise(in_order):
        assert all(one.intended_at >= before.closed_at for one in (await ours.view(after.batch_id)).sessions)


def service_file(folder):
    plan = PLAN.format(name="small", runs=1, concurrency=1, calls=1, scenario=101)
    (folder / "small.yaml").write_text(plan, encoding="utf-8")
    (folder / "serve.yaml").write_text(SERVICE, encoding="utf-8")
    return folder / "serve.yaml"


def start(ours, server, config, name):
    """A worker that the database knows by a name of its own."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} SUPERUSER LOGIN")
    worker = ours.start("--config", str(config), ORCHESTRATOR_DATABASE_URL=ours.url.replace("postgres@", f"{name}@"))
    worker.name = name
    return worker


def freeze(worker):
    worker.send_signal(signal.SIGSTOP)


def restart(server):
    server.stop()
    server.start()


async def struck_while_it_decides(ours, server, *, minutes, blow):
    """Let many fires come due at once, and strike the worker that is about to commit them.

    Returns that worker, and the moment after which every occurrence is to be decided.
    """
    considered = ours.clock.now() - minutes * MINUTE
    await ours.store.write(lambda connection: connection.execute(update(schedules).values(considered_until=considered)))
    name = await asyncio.to_thread(who_decides, server, ours.url)
    struck = next(one for one in ours.workers if one.name == name)
    blow(struck)
    return struck, considered


def who_decides(server, url):
    """The worker that writes the batches of fires now, before it commits."""
    database = url.partition("@/")[2].partition("?")[0]
    query = (
        "SELECT usename FROM pg_stat_activity WHERE datname = %s AND xact_start IS NOT NULL "
        "AND (query LIKE '%%INTO fires%%' OR query LIKE '%%INTO batches%%' OR query LIKE '%%client_key =%%')"
    )
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for _ in range(20_000):
            row = connection.execute(query, [database]).fetchone()
            if row is not None:
                return row[0]
    raise AssertionError("nobody decided")


async def fires_of(ours, schedule):
    found = await ours.store.read(partial(fire_rows.list_fires, schedule=schedule, limit=1000))
    return found[::-1]


async def all_batches(ours):
    return await ours.store.read(partial(batch_rows.page_batches, limit=1000))


async def all_decided(ours, since):
    """True when the fires of both schedules reach back as far as that."""
    firsts = [(await fires_of(ours, name))[:1] for name in ("each", "in-line")]
    return all(first and first[0].due_at - since <= MINUTE for first in firsts)


async def nothing_open(ours):
    """True when no batch is open, and no fire waits to become one."""
    fires = await fires_of(ours, "in-line")
    waits = any(fire.decision is FireDecision.QUEUED for fire in fires)
    return not waits and all(one.status is BatchStatus.CLOSED for one in await all_batches(ours))
