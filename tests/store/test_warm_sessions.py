"""The sessions of pools: a row before each start, and each given to one run at most, whoever asks and however many."""

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from orchestrator.domain.budget import SharedLimits
from orchestrator.domain.errors import Conflict
from orchestrator.domain.plan import Evidence
from orchestrator.domain.run import RunStatus
from orchestrator.domain.secret import MeetingToken
from orchestrator.domain.session import SessionStatus
from orchestrator.store import batches, claims, pools, runs, sessions, warm_sessions
from orchestrator.store.database import open_store
from tests.store.rows import NOW, a_batch, a_run, a_session
from tests.support.pools import an_agent

SOON = NOW + timedelta(seconds=5)
UNTIL = NOW + timedelta(seconds=900)


def warm(nonce="n1", **changes):
    return a_session(nonce, **{"batch_id": "", "run_id": "", "attempt": 0, "pool": "support", **changes})


@pytest.fixture
async def store(store):
    create = partial(pools.create_pool, name="support", document={}, source=pools.CONFIG, at=NOW)
    await store.write(create)
    await store.write(partial(pools.claim_pool, name="support", worker_id="w1"))
    return store


async def intend(store, session, *, worker_id="w1", most=99):
    return await store.write(partial(warm_sessions.record_warm_intent, session=session, worker_id=worker_id, most=most))


async def send(store, nonce="n1", *, worker_id="w1", at=NOW):
    return await store.write(partial(warm_sessions.record_warm_sent, nonce=nonce, worker_id=worker_id, at=at))


async def a_warm_one(store, nonce="n1", *, ready_at=NOW, fit_until=UNTIL, evidence=Evidence.PRESENCE, **changes):
    """A session that waits ready."""
    await intend(store, warm(nonce, **changes))
    await send(store, nonce)
    answer = partial(
        sessions.record_answer,
        nonce=nonce,
        at=NOW,
        session_id=f"s-{nonce}",
        room_url=f"https://d.daily.co/{nonce}",
        meeting_token=MeetingToken("t"),
    )
    await store.write(answer)
    ready = partial(
        warm_sessions.record_warm_ready,
        nonce=nonce,
        at=ready_at,
        evidence=evidence,
        fit_until=fit_until,
        seen_by="key",
    )
    assert await store.write(ready) is not None


def acquiring(run=None, **changes):
    asked = {
        "pool": "support",
        "agent": an_agent(),
        "defined_at": NOW,
        "at": SOON,
        "seen_since": NOW,
        "needed_until": SOON + timedelta(seconds=60),
        "most": 9,
    }
    return partial(warm_sessions.acquire, run=run or a_run(1), **{**asked, **changes})


async def test_an_intent_beyond_max_alive_leaves_no_row(store):
    assert await intend(store, warm("n1"), most=2)
    assert await intend(store, warm("n2"), most=2)
    assert not await intend(store, warm("n3"), most=2)
    assert len(await store.read(partial(warm_sessions.list_kept, pool="support"))) == 2


async def test_a_session_that_a_run_has_still_counts_as_one_of_the_pools(store):
    await a_warm_one(store)
    assert await store.write(acquiring()) is not None
    assert not await intend(store, warm("n2"), most=1)


@pytest.mark.parametrize(
    "change",
    [
        partial(pools.pause_pool, name="support", by="ann", at=NOW),
        partial(pools.remove_pool, name="support", source=pools.CONFIG, at=NOW),
        partial(pools.release_pool, name="support", worker_id="w1"),
    ],
    ids=["paused", "removed", "released"],
)
async def test_what_is_no_longer_a_workers_to_fill_gets_no_intent_and_no_intent_is_sent(store, change):
    await intend(store, warm("n1"))
    await store.write(change)
    assert not await intend(store, warm("n2"))
    assert await send(store, "n1") is None


async def test_another_worker_neither_fills_a_pool_nor_sends_its_intents(store):
    assert not await intend(store, warm("n2"), worker_id="w2")
    await intend(store, warm("n1"))
    assert await send(store, worker_id="w2") is None
    assert (await send(store)).status is SessionStatus.SENT
    assert await send(store, at=SOON) is None, "permission to start is given once"


async def test_what_was_committed_although_its_answer_was_lost_is_found_when_a_unit_is_run_again(store):
    """PostgreSQL may commit and lose the connection; with SQLite there is nothing that could be run twice."""
    again = store.shared
    await intend(store, warm())
    if again:
        assert await intend(store, warm(), most=1)
    sent = await send(store)
    if again:
        assert await send(store) == sent
    await store.write(partial(warm_sessions.retire, nonce="n1", at=NOW, reason="for another"))
    await a_warm_one(store, "n2")
    await a_warm_one(store, "n3")
    taken = await store.write(acquiring())
    if again:
        assert await store.write(acquiring()) == taken
    assert sum(bool(one.run_id) for one in await store.read(sessions.list_sessions)) == 1


async def test_a_condemned_intent_is_never_sent(store):
    await intend(store, warm())
    await store.write(partial(warm_sessions.retire, nonce="n1", at=NOW, reason="paused"))
    assert await send(store) is None


async def test_a_run_that_takes_a_session_is_ready_with_it_in_one_unit(store):
    await a_warm_one(store)
    session, steps = await store.write(acquiring())
    row = await store.read(partial(runs.get_run, run_id="b1-1"))
    assert row.status is RunStatus.READY
    assert (row.nonce, row.attempt) == ("n1", 1)
    assert row == replace(steps[-1], timeline=row.timeline)
    assert set(row.timeline) >= {"starting", "started", "ready"}
    assert (session.batch_id, session.run_id, session.attempt, session.taken_at) == ("b1", "b1-1", 1, SOON)
    assert session.meeting_token is not None, "it is needed until the room was submitted"


async def test_a_run_that_is_no_longer_planned_takes_nothing(store):
    await a_warm_one(store)
    begun = replace(a_run(1), status=RunStatus.STARTING, attempt=1, nonce="own")
    await store.write(partial(runs.record_run, run=begun, believed=a_run(1)))
    with pytest.raises(Conflict):
        await store.write(acquiring(a_run(1)))
    assert (await store.read(partial(sessions.get_session, nonce="n1"))).run_id == ""


async def test_the_oldest_is_given_first(store):
    await a_warm_one(store, "young", ready_at=NOW)
    await a_warm_one(store, "old", ready_at=NOW - timedelta(seconds=1))
    session, _ = await store.write(acquiring(seen_since=NOW - timedelta(minutes=1)))
    assert session.nonce == "old"


UNFIT = {
    "too old": ({"fit_until": SOON}, {}),
    "not seen lately": ({}, {"seen_since": NOW + timedelta(seconds=1)}),
    "its room would end within the call": ({}, {"needed_until": NOW + timedelta(hours=1, seconds=1)}),
    "its session would end within the call": (
        {"ends_at": NOW + timedelta(minutes=9)},
        {"needed_until": NOW + timedelta(minutes=10)},
    ),
    "of another agent": ({}, {"agent": an_agent(name="other")}),
    "of another pool": ({}, {"pool": "other"}),
    "started for an older definition": ({"intended_at": NOW - timedelta(seconds=1)}, {}),
    "the pool was defined anew since it was looked at": ({}, {"defined_at": NOW - timedelta(seconds=1)}),
    "beyond the batch's session budget": ({}, {"most": 0}),
}


@pytest.mark.parametrize("case", UNFIT)
async def test_a_session_that_is_not_fit_is_not_given(store, case):
    session, asked = UNFIT[case]
    await a_warm_one(store, **session)
    assert await store.write(acquiring(**asked)) is None
    assert (await store.read(partial(sessions.get_session, nonce="n1"))).run_id == ""


async def test_where_nothing_can_be_asked_nobody_need_have_looked(store):
    await a_warm_one(store, evidence=Evidence.SETTLE)
    assert await store.write(acquiring(seen_since=SOON)) is not None


@pytest.mark.parametrize("state", ["not ready", "condemned", "paused", "cancelled"])
async def test_a_session_in_any_other_state_is_not_given(store, state):
    if state == "not ready":
        await intend(store, warm())
        await send(store)
    else:
        await a_warm_one(store)
    if state == "condemned":
        await store.write(partial(warm_sessions.retire, nonce="n1", at=NOW, reason="old"))
    if state == "paused":
        await store.write(partial(pools.pause_pool, name="support", by="ann", at=NOW))
    if state == "cancelled":
        await store.write(partial(batches.record_cancel, batch_id="b1", at=NOW, reason="stop"))
    assert await store.write(acquiring()) is None


async def test_what_a_run_took_is_the_pools_to_condemn_no_longer(store):
    await a_warm_one(store)
    await store.write(acquiring())
    assert await store.write(partial(warm_sessions.retire, nonce="n1", at=SOON, reason="old")) is None
    await store.write(partial(warm_sessions.retire_all, at=SOON, reason="nobody keeps it"))
    assert (await store.read(partial(sessions.get_session, nonce="n1"))).condemned_at is None


async def test_a_retired_session_keeps_no_token_and_is_due_for_teardown_at_once(store):
    await a_warm_one(store)
    gone = await store.write(partial(warm_sessions.retire, nonce="n1", at=SOON, reason="old"))
    assert (gone.meeting_token, gone.teardown_from, gone.condemned_for) == (None, SOON, "old")
    due = partial(claims.claim_due, now=SOON, until=UNTIL, most=9)
    assert [one.nonce for one in await store.write(due)] == ["n1"]


async def test_a_lost_start_is_condemned_with_its_reason_unless_it_was_answered(store):
    await intend(store, warm("lost"))
    await send(store, "lost")
    await a_warm_one(store, "there")
    for nonce in ("lost", "there"):
        await store.write(partial(warm_sessions.record_lost, nonce=nonce, at=SOON, note="lost"))
    lost, there = [await store.read(partial(sessions.get_session, nonce=nonce)) for nonce in ("lost", "there")]
    assert (lost.status, lost.condemned_for, lost.teardown_from) == (SessionStatus.LOST, "lost", SOON)
    assert (there.status, there.condemned_at) == (SessionStatus.ALIVE, None)


async def test_where_nobody_is_left_everything_that_waits_is_condemned_and_nothing_that_a_run_has(store):
    await a_warm_one(store, "taken")
    await store.write(acquiring())
    await a_warm_one(store, "waits")
    await intend(store, warm("intended"))
    assert await store.write(partial(warm_sessions.retire_all, at=SOON, reason="nobody keeps it")) == 2
    rows = {one.nonce: one for one in await store.read(sessions.list_sessions)}
    assert rows["taken"].condemned_at is None
    assert rows["waits"].condemned_for == rows["intended"].condemned_for == "nobody keeps it"


async def test_a_check_never_makes_a_session_look_staler_than_it_is(store):
    await a_warm_one(store)
    for at in (SOON, NOW):
        await store.write(partial(warm_sessions.record_checked, nonce="n1", at=at))
    assert (await store.read(partial(sessions.get_session, nonce="n1"))).checked_at == SOON


async def test_two_workers_that_ask_at_once_never_get_one_session_twice(store, url):
    """Two writers on one file, each on a thread and a loop of its own."""
    names, count = ("b2", "b3"), 30
    for name in names:
        planned = [replace(a_run(index), run_id=f"{name}-{index}", batch_id=name) for index in range(1, count + 1)]
        await store.write(partial(batches.record_batch, batch=a_batch(batch_id=name), planned=planned))
    for number in range(count):
        await a_warm_one(store, f"n{number}")
    given = {name: [] for name in names}

    def work(name):
        asyncio.run(take_all(name))

    async def take_all(name):
        beside = open_store(url, driving=None)
        try:
            for index in range(1, count + 1):
                run = replace(a_run(index), run_id=f"{name}-{index}", batch_id=name)
                taken = await beside.write(acquiring(run, most=count))
                if taken is not None:
                    given[name].append(taken[0].nonce)
        finally:
            beside.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert sorted(given["b2"] + given["b3"]) == sorted(f"n{number}" for number in range(count))
    rows = [one for one in await store.read(sessions.list_sessions) if one.pool is not None]
    holders = [one.run_id for one in rows]
    assert len(set(holders)) == count
    for name in names:
        held = await store.read(partial(runs.list_runs, batch_id=name))
        assert sorted(run.nonce for run in held if run.nonce) == sorted(given[name])


@pytest.mark.parametrize("most", [1, 2, 5])
async def test_sessions_of_a_pool_count_against_the_batchs_session_budget(store, most):
    planned = [replace(a_run(index), run_id=f"b2-{index}", batch_id="b2") for index in range(1, 6)]
    await store.write(partial(batches.record_batch, batch=a_batch(batch_id="b2"), planned=planned))
    for number in range(5):
        await a_warm_one(store, f"n{number}")
    taken = [await store.write(acquiring(run, most=most)) for run in planned]
    assert sum(one is not None for one in taken) == most


async def test_what_all_batches_and_pools_may_take_together_is_never_exceeded(store):
    shared = SharedLimits(sessions=2, calls=1)
    for number in range(3):
        unit = partial(
            warm_sessions.record_warm_intent, session=warm(f"n{number}"), worker_id="w1", most=99, shared=shared
        )
        assert await store.write(unit) is (number < 2)
    await store.write(partial(warm_sessions.retire_all, at=NOW, reason="for others"))
    for number in (4, 5):
        await a_warm_one(store, f"n{number}")
    assert await store.write(acquiring(a_run(1), shared=shared)) is not None
    assert await store.write(acquiring(a_run(2), shared=shared)) is None, "one call is all there may be"
