"""Pools against the sandbox: filled, looked after, given to runs, and emptied; what the rows say and what lives."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from orchestrator.app.batches import run_batch, view_batch
from orchestrator.domain.budget import SharedLimits
from orchestrator.domain.pool import CLOSED, PAUSED, REMOVED, TOO_OLD, UNREADABLE, OpenHours
from orchestrator.domain.run import RunStatus
from orchestrator.domain.session import SessionStatus, Teardown
from orchestrator.engine.warming import UNANSWERED
from orchestrator.sandbox import Sandbox, SandboxSettings
from orchestrator.store import pools as pool_rows
from orchestrator.store import sessions as session_rows
from orchestrator.store import warm_sessions as warm_rows
from orchestrator.store import workers as worker_rows
from tests.support.bench import SPEED
from tests.support.pools import a_pool, an_agent, define, keeping, kept, ready, redefine, until_rows, waiting

POOLED = ", pool: support"
NO_DAILY = {"DAILY_API_KEY": None, "ORCHESTRATOR_DAILY_KEYS": None}


@asynccontextmanager
async def a_box(*faults, **settings):
    values = {"speed": SPEED, "faults": faults, "call_seconds": (8.0, 16.0), **settings}
    async with Sandbox(SandboxSettings(**values)) as box:
        yield box


@asynccontextmanager
async def a_warm_pool(bench, box, spec, *, count=None, **environ):
    """A worker with a keeper, once the pool is filled."""
    async with bench.worker(box, **environ) as worker:
        await define(worker.store, spec, at=worker.clock.now())
        async with keeping(worker, speed=box.settings.speed) as keeper:
            await filled(worker.store, spec.min_ready if count is None else count)
            yield worker, keeper


async def filled(store, count):
    async def enough():
        return len(await ready(store)) >= count

    await until_rows(enough)


async def emptied(store):
    async def nothing():
        return not await kept(store)

    await until_rows(nothing)


async def everything(store):
    return await store.read(partial(session_rows.list_sessions))


async def play(bench, worker, **plan):
    batch_id = await bench.start(worker, bench.plan(**{"agent": POOLED, **plan}))
    async with asyncio.timeout(60):
        await run_batch(worker, batch_id)
    return await view_batch(worker.store, batch_id)


async def test_a_pool_is_filled_to_what_it_keeps_and_never_beyond_what_it_may(bench):
    most = 0
    async with a_box() as box, a_warm_pool(bench, box, a_pool(min_ready=3, max_alive=4)) as (worker, _):
        for _ in range(20):
            await asyncio.sleep(0.02)
            most = max(most, len(box.world()["sessions"]["alive"]))
        rows = await ready(worker.store)
        assert box.world()["starts"] == 3
    assert most == 3
    assert all(one.meeting_token is not None and one.room_seen_by is not None for one in rows)
    assert all(one.run_id == "" and one.batch_id == "" for one in rows)


async def test_a_run_takes_a_warm_session_and_the_pool_is_filled_again(bench):
    async with a_box() as box, a_warm_pool(bench, box, a_pool()) as (worker, _):
        warm = {one.nonce for one in await ready(worker.store)}
        view = await play(bench, worker, scenarios="[{scenario: 101}]")
        await filled(worker.store, 2)
        session = view.sessions[0]
        assert [str(run.outcome) for run in view.runs] == ["passed"]
        assert session.nonce in warm
        assert session.session_end.state is session.room_end.state is Teardown.CONFIRMED
        assert session.meeting_token is None
        assert box.world()["starts"] == 3
        assert box.world()["submitted_twice"] == box.world()["cut_short"] == []


async def test_the_run_of_a_warm_session_does_not_wait_for_a_bot(bench):
    async with a_box(join_seconds=(20.0, 20.0)) as box, a_warm_pool(bench, box, a_pool()) as (worker, _):
        view = await play(bench, worker, scenarios="[{scenario: 101}]")
        run = view.runs[0]
    assert run.since(RunStatus.READY) == run.since(RunStatus.STARTING)
    assert view.sessions[0].taken_at == run.since(RunStatus.STARTING)
    assert view.sessions[0].ready_at < run.since(RunStatus.READY)


async def test_a_session_that_waited_longer_than_a_ready_bot_may_is_submitted_all_the_same(bench):
    """A run's patience with a ready bot begins when the run took it, also where it is not submitted at once."""
    spec = a_pool(max_age=3000.0, min_ready=1)
    async with a_box("submit.busy=1", idle_timeout=9000.0) as box, a_warm_pool(bench, box, spec) as (worker, _):
        await asyncio.sleep(110 / SPEED)
        view = await play(bench, worker, scenarios="[{scenario: 101}]", more="timeouts: {ready: 100}")
        assert [str(run.outcome) for run in view.runs] == ["passed"]
        assert view.runs[0].attempt == 1


async def test_where_the_pool_has_none_a_run_starts_its_own(bench):
    async with a_box() as box, a_warm_pool(bench, box, a_pool(min_ready=1, max_alive=1)) as (worker, _):
        view = await play(bench, worker, scenarios="[{scenario: 101, repeat: 4}]")
        pools = [one.pool for one in view.sessions]
    assert [str(run.outcome) for run in view.runs] == ["passed"] * 4
    assert None in pools
    assert "support" in pools


@pytest.mark.parametrize("keeps", [{"name": "another-bot"}, {"body": {"locale": "fr"}}])
async def test_sessions_that_were_started_otherwise_than_the_plan_says_are_left_alone(bench, keeps):
    spec = a_pool(agent=an_agent(**keeps))
    async with a_box() as box, a_warm_pool(bench, box, spec) as (worker, _):
        view = await play(bench, worker, scenarios="[{scenario: 101}]")
        assert [one.pool for one in view.sessions] == [None]
        assert len(await ready(worker.store)) == 2


async def test_two_batches_at_once_get_no_session_twice(bench):
    async with a_box(calls_limit=20) as box:
        async with a_warm_pool(bench, box, a_pool(min_ready=6, max_alive=6)) as (worker, _):
            views = await asyncio.gather(
                *(play(bench, worker, scenarios="[{scenario: 101, repeat: 4}]") for _ in range(2))
            )
        world = box.world()
    sessions = [one for view in views for one in view.sessions]
    assert len({one.nonce for one in sessions}) == len(sessions)
    assert sum(one.pool is not None for one in sessions) == 6
    assert [str(run.outcome) for view in views for run in view.runs] == ["passed"] * 8
    assert world["submitted_twice"] == world["cut_short"] == []


async def test_warm_sessions_count_against_a_batchs_session_budget(bench):
    async with a_box() as box, a_warm_pool(bench, box, a_pool(min_ready=4, max_alive=4)) as (worker, _):
        view = await play(bench, worker, scenarios="[{scenario: 101, repeat: 4}]", concurrency=2, calls=4)
        assert [str(run.outcome) for run in view.runs] == ["passed"] * 4
    spans = sorted((one.taken_at or one.sent_at, one.session_end.at) for one in view.sessions)
    for begun, _ in spans:
        assert sum(since <= begun < until for since, until in spans) <= 2


async def test_what_waited_for_as_long_as_the_pool_allows_is_replaced(bench):
    spec = a_pool(min_ready=1, max_alive=2, max_age=20.0)
    async with a_box() as box, a_warm_pool(bench, box, spec) as (worker, _):
        first = (await ready(worker.store))[0].nonce

        async def replaced():
            return any(one.nonce != first for one in await ready(worker.store))

        await until_rows(replaced)
        gone = await worker.store.read(partial(session_rows.get_session, nonce=first))
    assert gone.condemned_for == TOO_OLD
    assert gone.meeting_token is None


async def test_a_bot_that_left_is_noticed_by_the_pool_and_replaced(bench):
    spec = a_pool(min_ready=1, max_alive=2, max_age=3000.0, check_every=10.0)
    async with a_box(idle_timeout=40.0) as box, a_warm_pool(bench, box, spec) as (worker, _):
        first = (await ready(worker.store))[0].nonce

        async def replaced():
            return any(one.nonce != first for one in await ready(worker.store))

        await until_rows(replaced)
        gone = await worker.store.read(partial(session_rows.get_session, nonce=first))
        pool = await worker.store.read(partial(pool_rows.get_pool, name="support"))
    assert "the bot left its room" in gone.condemned_for
    assert pool.trouble == "" or "idle timeout" in pool.trouble


async def test_a_bot_that_left_is_noticed_before_a_run_gets_its_session(bench):
    spec = a_pool(min_ready=1, max_alive=2, max_age=3000.0, check_every=3000.0)
    async with a_box(idle_timeout=40.0) as box, a_warm_pool(bench, box, spec) as (worker, _):
        first = (await ready(worker.store))[0].nonce

        async def left():
            return not box.world()["sessions"]["alive"]

        await until_rows(left)
        await asyncio.sleep(2.5 / SPEED)  # one room's presence is that stale
        view = await play(bench, worker, scenarios="[{scenario: 101}]")
        gone = await worker.store.read(partial(session_rows.get_session, nonce=first))
        assert [str(run.outcome) for run in view.runs] == ["passed"]
        assert view.runs[0].attempt == 1
    assert gone.run_id == ""
    assert "the bot left its room before a run took it" in gone.condemned_for


async def test_closing_time_drains_the_pool(bench, monkeypatch):
    async with a_box() as box, a_warm_pool(bench, box, a_pool()) as (worker, _):
        spec = a_pool(hours=(OpenHours(days=(), opens=0, closes=0),))  # open on no day
        await redefine(worker.store, spec, at=(await ready(worker.store))[0].intended_at - timedelta(seconds=1))
        await emptied(worker.store)
        rows = await everything(worker.store)
        assert {one.condemned_for for one in rows} == {CLOSED}
        assert box.world()["sessions"]["alive"] == box.world()["rooms"]["alive"] == []


@pytest.mark.parametrize(
    ("unit", "reason"),
    [
        (partial(pool_rows.pause_pool, name="support", by="ann"), PAUSED),
        (partial(pool_rows.remove_pool, name="support", source=pool_rows.CONFIG), REMOVED),
    ],
)
async def test_a_pool_that_is_paused_or_removed_is_emptied(bench, unit, reason):
    async with a_box() as box, a_warm_pool(bench, box, a_pool()) as (worker, _):
        await worker.store.write(partial(unit, at=worker.clock.now()))
        await emptied(worker.store)
        assert {one.condemned_for for one in await everything(worker.store)} == {reason}
        assert box.world()["sessions"]["alive"] == box.world()["rooms"]["alive"] == []
        assert box.world()["starts"] == 2


async def test_a_definition_that_cannot_be_read_empties_the_pool_and_ends_no_batch(bench):
    async with a_box() as box, a_warm_pool(bench, box, a_pool()) as (worker, keeper):
        damage = partial(pool_rows.replace_pool, name="support", document={}, source=pool_rows.CONFIG)
        await worker.store.write(partial(damage, at=worker.clock.now()))
        view = await play(bench, worker, scenarios="[{scenario: 101}]")
        await emptied(worker.store)
        assert [str(run.outcome) for run in view.runs] == ["passed"]
        assert [one.pool for one in view.sessions] == [None]
        assert (await worker.store.read(partial(pool_rows.get_pool, name="support"))).trouble == UNREADABLE
        async with asyncio.timeout(20):
            await keeper.drain()
        assert box.world()["sessions"]["alive"] == box.world()["rooms"]["alive"] == []


async def test_a_worker_that_drains_lets_all_go_and_gives_its_pools_back(bench):
    async with a_box() as box, a_warm_pool(bench, box, a_pool()) as (worker, keeper):
        async with asyncio.timeout(20):
            await keeper.drain()
        assert await waiting(worker.store) == []
        assert (await worker.store.read(partial(pool_rows.get_pool, name="support"))).owner is None
        await emptied(worker.store)
        assert box.world()["sessions"]["alive"] == box.world()["rooms"]["alive"] == []


async def test_a_worker_that_hands_over_leaves_what_waits_to_the_next_one(bench):
    async with a_box() as box, a_warm_pool(bench, box, a_pool()) as (worker, keeper):
        async with asyncio.timeout(20):
            await keeper.drain(hand_over=True)
        warm = {one.nonce for one in await ready(worker.store)}
        assert len(warm) == 2
        async with keeping(worker, speed=SPEED, worker_id="w2") as other:
            await asyncio.sleep(10 / SPEED)
            assert {one.nonce for one in await ready(worker.store)} == warm
            assert box.world()["starts"] == 2
            await other.drain()
            await emptied(worker.store)


async def test_draining_while_starts_are_under_way_leaves_nothing_alive(bench):
    async with a_box(start_seconds=20.0) as box, bench.worker(box) as worker:
        await define(worker.store, a_pool(), at=worker.clock.now())
        async with keeping(worker, speed=SPEED) as keeper:

            async def sent():
                return any(one.status is SessionStatus.SENT for one in await kept(worker.store))

            await until_rows(sent)
            async with asyncio.timeout(20):
                await keeper.drain()
            await emptied(worker.store)
        assert box.world()["sessions"]["alive"] == box.world()["rooms"]["alive"] == []


@pytest.mark.parametrize("fault", ["start.capacity=3", "start.busy=3", "start.capacity_pcc=2"])
async def test_a_full_agent_is_asked_again_one_start_at_a_time(bench, fault):
    async with a_box(fault) as box, a_warm_pool(bench, box, a_pool()) as (worker, _):
        refused = [one for one in await everything(worker.store) if one.status is SessionStatus.REFUSED]
        pool = await worker.store.read(partial(pool_rows.get_pool, name="support"))
        assert box.world()["sessions"]["started"] == 2
    assert len(refused) == int(fault[-1])
    assert pool.trouble == ""


async def test_an_agent_that_is_gone_is_named_and_hardly_asked_any_more(bench):
    spec = a_pool(agent=an_agent(name="unknown-agent"))
    async with a_box() as box, bench.worker(box) as worker:
        await define(worker.store, spec, at=worker.clock.now())
        async with keeping(worker, speed=SPEED):

            async def troubled():
                return (await worker.store.read(partial(pool_rows.get_pool, name="support"))).trouble

            await until_rows(troubled)
            await asyncio.sleep(40 / SPEED)
            trouble = (await worker.store.read(partial(pool_rows.get_pool, name="support"))).trouble
        assert box.world()["starts"] == 1
        assert box.world()["sessions"]["started"] == 0
    assert "unknown-agent" in trouble or "404" in trouble


async def test_a_pool_that_was_mended_is_filled_at_once_and_no_trouble_of_before_is_told(bench, monkeypatch):
    monkeypatch.setattr("orchestrator.engine.warm_starts.RETRY_GONE", 1e9)
    async with a_box() as box, bench.worker(box) as worker:
        await define(worker.store, a_pool(agent=an_agent(name="unknown-agent")), at=worker.clock.now())

        async def trouble():
            return (await worker.store.read(partial(pool_rows.get_pool, name="support"))).trouble

        async with keeping(worker, speed=SPEED):
            await until_rows(trouble)
            await redefine(worker.store, a_pool(), at=worker.clock.now())
            await filled(worker.store, 2)
            assert await trouble() == ""


async def test_a_pool_larger_than_the_agent_takes_starts_nothing_and_says_so(bench):
    async with a_box(max_sessions=3) as box, bench.worker(box) as worker:
        await define(worker.store, a_pool(max_alive=4), at=worker.clock.now())
        async with keeping(worker, speed=SPEED):

            async def troubled():
                return (await worker.store.read(partial(pool_rows.get_pool, name="support"))).trouble

            await until_rows(troubled)
            trouble = (await worker.store.read(partial(pool_rows.get_pool, name="support"))).trouble
        assert box.world()["starts"] == 0
    assert "takes 3 sessions at once, and max_alive is 4" in trouble


@pytest.mark.parametrize("fault", ["lost_answer", "late", "truncated", "not_json", "wrong_type", "lost_request"])
async def test_a_lost_start_is_never_repeated_in_its_place_and_what_it_made_is_ended(bench, fault):
    async with a_box(f"start.{fault}=1") as box, a_warm_pool(bench, box, a_pool(min_ready=1)) as (worker, keeper):
        rows = await everything(worker.store)
        unanswered = [one for one in rows if one.ready_at is None]
        assert len(unanswered) == 1
        assert unanswered[0].condemned_at is not None
        async with asyncio.timeout(20):
            await keeper.drain()
        await emptied(worker.store)
        world = box.world()
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == []


async def test_bots_that_never_come_are_ended_and_the_pool_waits_longer_each_time(bench):
    spec = a_pool(min_ready=2, ready=20.0)
    async with a_box("bot.never_joins=2") as box, a_warm_pool(bench, box, spec) as (worker, _):
        gone = [one for one in await everything(worker.store) if one.condemned_at]
        assert {one.condemned_for for one in gone} == {"the bot did not join its room in time"}
        assert len(gone) == 2
        assert box.world()["starts"] == 4


async def test_without_a_daily_key_the_record_says_that_a_bot_is_there(bench):
    async with a_box() as box, a_warm_pool(bench, box, a_pool(), **NO_DAILY) as (worker, _):
        assert {str(one.evidence) for one in await ready(worker.store)} == {"record"}
        view = await play(bench, worker, scenarios="[{scenario: 101}]")
        assert [one.pool for one in view.sessions] == ["support"]


async def test_on_a_runner_without_keys_only_time_says_so_and_runs_take_its_sessions_too(bench):
    async with a_box() as box:
        agent = an_agent(kind="pipecat_runner", name=None, url=box.url)
        spec = a_pool(agent=replace(agent, kind=type(a_pool().agent.kind)("pipecat_runner")))
        async with a_warm_pool(bench, box, spec, **NO_DAILY) as (worker, _):
            assert {str(one.evidence) for one in await ready(worker.store)} == {"settle"}
            view = await play(bench, worker, scenarios="[{scenario: 101}]", runner=box.url)
            assert [one.pool for one in view.sessions] == ["support"]


async def test_a_keeper_that_dies_leaves_its_sessions_to_the_next_one(bench):
    async with a_box() as box, bench.worker(box) as worker:
        await define(worker.store, a_pool(), at=worker.clock.now())
        async with keeping(worker, speed=SPEED):
            await filled(worker.store, 2)
        await worker.store.write(partial(worker_rows.free, worker_ids=["w1"]))
        async with keeping(worker, speed=SPEED, worker_id="w2") as keeper:
            await filled(worker.store, 2)
            await asyncio.sleep(10 / SPEED)
            assert box.world()["starts"] == 2
            await keeper.drain()
            await emptied(worker.store)
        assert box.world()["sessions"]["alive"] == box.world()["rooms"]["alive"] == []


async def test_a_start_whose_keeper_died_is_looked_for_and_ended_by_the_next_one_and_never_repeated_in_its_place(bench):
    async with a_box(start_seconds=20.0) as box, bench.worker(box) as worker:
        await define(worker.store, a_pool(min_ready=1, max_alive=3), at=worker.clock.now())

        async def sent():
            return any(one.status is SessionStatus.SENT for one in await kept(worker.store))

        async with keeping(worker, speed=SPEED):
            await until_rows(sent)
        await worker.store.write(partial(worker_rows.free, worker_ids=["w1"]))
        async with keeping(worker, speed=SPEED, worker_id="w2"):
            await filled(worker.store, 1)

            async def found_and_ended():
                return len(await kept(worker.store)) == 1

            await until_rows(found_and_ended)
            rows = await everything(worker.store)
            alive = [one["id"] for one in box.world()["sessions"]["alive"]]
        assert [one.condemned_for for one in rows if one.condemned_at] == [UNANSWERED]
        assert alive == [one.session_id for one in rows if one.condemned_at is None]


@pytest.mark.parametrize("start_seconds", [0.0, 8.0])
async def test_whatever_a_dead_keeper_was_at_the_next_ends_what_it_cannot_use(bench, start_seconds):
    """It dies at a random moment of its first starts, several times over."""
    async with a_box(start_seconds=start_seconds) as box:
        for life in range(6):
            async with bench.worker(box) as worker:
                if life == 0:
                    await define(worker.store, a_pool(min_ready=3, max_alive=4), at=worker.clock.now())
                await worker.store.write(partial(worker_rows.free, worker_ids=[f"w{life - 1}"]))
                async with keeping(worker, speed=SPEED, worker_id=f"w{life}"):
                    await asyncio.sleep(0.05 + 0.11 * life)
        async with bench.worker(box) as worker:
            await worker.store.write(partial(warm_rows.retire_all, at=worker.clock.now(), reason="collected by a test"))
            await emptied(worker.store)
        world = box.world()
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == []


async def test_a_worker_that_lost_its_pool_starts_nothing_more_for_it(bench):
    async with a_box() as box, a_warm_pool(bench, box, a_pool(min_ready=1, max_alive=4)) as (worker, _):
        await worker.store.write(partial(_give_to, "somebody else"))
        await asyncio.sleep(5 / SPEED)
        session = (await ready(worker.store))[0]
        await worker.store.write(partial(warm_rows.retire, nonce=session.nonce, at=worker.clock.now(), reason="a test"))
        await asyncio.sleep(20 / SPEED)
        assert box.world()["starts"] == 1


async def test_a_worker_that_is_not_sure_any_more_makes_no_call(bench):
    async with a_box() as box, bench.worker(box) as worker:
        await define(worker.store, a_pool(), at=worker.clock.now())
        asked = asyncio.Event()

        async def unsure():
            asked.set()
            return False

        async with keeping(worker, speed=SPEED, sure=unsure):
            async with asyncio.timeout(20):
                await asked.wait()
            await asyncio.sleep(5 / SPEED)
        assert box.world()["starts"] == 0


async def test_pools_count_against_what_all_batches_and_pools_may_take_together(bench):
    async with a_box() as box, bench.worker(box) as worker:
        await define(worker.store, a_pool(min_ready=4, max_alive=4), at=worker.clock.now())
        async with keeping(worker, speed=SPEED, shared=SharedLimits(sessions=2)):
            await filled(worker.store, 2)
            await asyncio.sleep(20 / SPEED)
            assert box.world()["starts"] == 2


async def test_two_workers_of_one_database_fill_a_pool_once_and_hand_out_each_session_once(bench, postgres_url):
    state = {"ORCHESTRATOR_DATABASE_URL": postgres_url}
    spec = a_pool(min_ready=4, max_alive=4)
    async with a_box(calls_limit=20) as box:
        async with bench.worker(box, **state) as one, bench.worker(box, **state) as two:
            await define(one.store, spec, at=one.clock.now())
            names = [worker.membership.worker_id for worker in (one, two)]
            async with (
                keeping(one, speed=SPEED, worker_id=names[0]),
                keeping(two, speed=SPEED, worker_id=names[1]),
            ):
                await filled(one.store, 4)
                assert box.world()["starts"] == 4
                views = await asyncio.gather(
                    *(play(bench, worker, scenarios="[{scenario: 101, repeat: 3}]") for worker in (one, two))
                )
                await one.store.write(partial(pool_rows.pause_pool, name="support", by="a test", at=one.clock.now()))
                await emptied(one.store)
        world = box.world()
    sessions = [session for view in views for session in view.sessions]
    assert len({session.nonce for session in sessions}) == len(sessions)
    assert sum(session.pool is not None for session in sessions) >= 4
    assert [str(run.outcome) for view in views for run in view.runs] == ["passed"] * 6
    assert world["sessions"]["alive"] == world["rooms"]["alive"] == world["submitted_twice"] == []


def _give_to(worker_id, connection):
    worker_rows.free(connection, ["w1"])
    pool_rows.claim_pool(connection, "support", worker_id=worker_id)
