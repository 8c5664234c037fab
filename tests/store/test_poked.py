"""News of a result or a run pokes the open batch that holds it, and nothing else."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from orchestrator.domain.run import RunStatus
from orchestrator.domain.submission import SubmissionStatus
from orchestrator.domain.verdict import Outcome
from orchestrator.store import batches, runs, sessions, submissions
from tests.store.rows import NOW, a_batch, a_run, a_session, a_submission

RESULT, RUN = 17759, 39129
LATER = NOW + timedelta(minutes=3)


@pytest.fixture
async def submitted(store):
    """Batch b1, whose submission holds RESULT and whose first run is RUN; b2 holds nothing."""
    other = replace(a_run(1), run_id="b2-1", batch_id="b2")
    await store.write(partial(batches.record_batch, batch=a_batch(batch_id="b2"), planned=[other]))
    await store.write(lambda connection: sessions.record_intent(connection, a_session(), most=5))
    await store.write(lambda connection: submissions.record_intent(connection, a_submission("s1"), ["n1"]))
    settle = partial(submissions.record_settled, submission_id="s1", status=SubmissionStatus.ACCEPTED)
    await store.write(partial(settle, cekura_result_id=RESULT))
    run = replace(a_run(1), status=RunStatus.SUBMITTED, cekura_run_id=RUN, cekura_result_id=RESULT)
    assert await store.write(partial(runs.record_run, run=run, believed=a_run(1)))
    return store


async def poke(store, result=None, ids=(), at=LATER):
    return await store.write(partial(batches.record_poked, cekura_result_id=result, cekura_run_ids=ids, at=at))


async def poked_at(store, batch_id):
    return (await store.read(partial(batches.get_batch, batch_id=batch_id))).poked_at


@pytest.mark.parametrize(
    ("result", "ids"), [(RESULT, ()), (None, (RUN,)), (RESULT, (RUN, RUN + 1)), (RESULT + 1, (5, RUN)), (RESULT, (5,))]
)
async def test_what_a_batch_holds_pokes_it_alone(submitted, result, ids):
    assert await poke(submitted, result, ids) == ["b1"]
    assert await poked_at(submitted, "b1") == LATER
    assert await poked_at(submitted, "b2") is None


@pytest.mark.parametrize(("result", "ids"), [(None, ()), (RESULT + 1, ()), (None, (RUN + 1,)), (RUN, (RESULT,))])
async def test_what_nobody_holds_changes_nothing(submitted, result, ids):
    assert await poke(submitted, result, ids) == []
    assert await poked_at(submitted, "b1") is None
    assert await poked_at(submitted, "b2") is None


async def test_a_closed_batch_is_left_alone(submitted):
    await submitted.write(partial(batches.record_closed, batch_id="b1", at=NOW, outcome=Outcome.PASSED))
    assert await poke(submitted, RESULT, (RUN,)) == []
    assert await poked_at(submitted, "b1") is None


async def test_each_poke_leaves_its_own_time(submitted):
    await poke(submitted, RESULT)
    await poke(submitted, RESULT, at=NOW)
    assert await poked_at(submitted, "b1") == NOW


async def test_a_run_is_found_by_its_index(sqlite_store):
    """A webhook may come for each result of a service's whole history: none may read every run."""

    def plan(connection):
        query = "EXPLAIN QUERY PLAN SELECT batch_id FROM runs WHERE cekura_run_id IN (1, 2)"
        return " ".join(str(row) for row in connection.exec_driver_sql(query))

    assert "runs_by_cekura_run" in await sqlite_store.read(plan)
