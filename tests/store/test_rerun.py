"""A commit may be made although its answer was lost: the same unit run again finds its own rows, and pays once.

That can only happen where a network lies between a worker and its state.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text

from orchestrator.domain.errors import Conflict, StateUnusable
from orchestrator.domain.run import RunStatus
from orchestrator.store import batches, runs, sessions, submissions
from orchestrator.store.database import open_store
from tests.store.rows import NOW, a_batch, a_run, a_session, a_submission


@pytest.fixture
async def store(postgres_url):
    store = open_store(postgres_url, driving="test")
    await store.write(partial(batches.record_batch, batch=a_batch(), planned=[a_run(1), a_run(2)]))
    yield store
    store.close()


async def twice(store, unit):
    return [await store.write(unit), await store.write(unit)]


async def test_a_batch_is_there_once(store):
    await twice(store, partial(batches.record_batch, batch=a_batch(), planned=[a_run(1), a_run(2)]))
    assert len(await store.read(partial(runs.list_runs, batch_id="b1"))) == 2


async def test_an_intent_takes_its_budget_once(store):
    assert await twice(store, partial(sessions.record_intent, session=a_session(), most=1)) == [True, True]
    assert not await store.write(partial(sessions.record_intent, session=a_session("n2"), most=1))


async def test_a_start_may_be_sent_by_whoever_wrote_so(store):
    await store.write(partial(sessions.record_intent, session=a_session(), most=1))
    ours = await twice(store, partial(sessions.record_sent, nonce="n1", at=NOW))
    assert [one.nonce for one in ours] == ["n1", "n1"]
    assert await store.write(partial(sessions.record_sent, nonce="n1", at=NOW + timedelta(seconds=1))) is None


async def test_the_permission_to_post_is_taken_once(store):
    await store.write(partial(sessions.record_intent, session=a_session(), most=1))
    intent = partial(submissions.record_intent, submission=a_submission("a"), nonces=[])
    assert await twice(store, intent) == [True, True]
    assert await twice(store, partial(submissions.record_sent, submission_id="a", at=NOW)) == [True, True]
    later = NOW + timedelta(seconds=1)
    assert not await store.write(partial(submissions.record_sent, submission_id="a", at=later))


async def test_a_step_of_a_run_is_no_conflict_with_itself(store):
    started = replace(a_run(1), status=RunStatus.STARTING, attempt=1, nonce="n1", timeline={"starting": NOW})
    assert await twice(store, partial(runs.record_run, run=started, believed=a_run(1))) == [True, True]
    changes = await store.read(partial(runs.list_runs, batch_id="b1"))
    assert changes[0] == started


async def test_two_sessions_of_one_name_stay_a_conflict(store):
    for nonce in ("n1", "n2"):
        await store.write(partial(sessions.record_intent, session=a_session(nonce), most=2))
    answer = partial(sessions.record_answer, at=NOW, session_id="s", room_url="u", meeting_token=None)
    await twice(store, partial(answer, nonce="n1"))
    with pytest.raises(Conflict):
        await store.write(partial(answer, nonce="n2"))


async def test_what_the_database_does_not_take_is_its_callers_trouble_and_the_rest_of_the_commit_stands(store):
    units = [
        store.write(partial(batches.record_refusal, batch_id="b1", reason="a\x00b")),
        store.write(partial(batches.record_batch, batch=a_batch(batch_id="b2", name="n" * 129), planned=[])),
        store.write(partial(batches.claim_batch, batch_id="b1", worker_id="w1")),
    ]
    refused, too_long, taken = await asyncio.gather(*units, return_exceptions=True)
    assert (type(refused), type(too_long), taken) == (Conflict, Conflict, True)
    assert "does not take" in str(refused)


async def test_a_connection_that_the_database_ends_before_the_commit_costs_nobody_an_error(store):
    tried = []

    def struck_once(connection):
        tried.append(None)
        batches.record_refusal(connection, "b1", reason="before the blow")
        if len(tried) == 1:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return runs.list_runs(connection, "b1")

    beside = partial(batches.claim_batch, batch_id="b1", worker_id="w1")
    found, taken = await asyncio.gather(store.write(struck_once), store.write(beside))
    assert (len(tried), len(found), taken) == (2, 2, True)
    assert (await store.read(partial(batches.get_batch, batch_id="b1"))).refusal == "before the blow"


async def test_a_database_that_ends_every_connection_is_told_of_at_last(store):
    def always(connection):
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(StateUnusable):
        await store.write(always)
    assert await store.write(partial(batches.claim_batch, batch_id="b1", worker_id="w1"))
