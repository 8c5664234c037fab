"""What a batch that ends may no longer do: the store refuses, whatever a loop of the engine thinks."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from orchestrator.domain.batch import BatchStatus
from orchestrator.domain.session import SessionStatus
from orchestrator.domain.verdict import Outcome
from orchestrator.store import batches, sessions, submissions
from tests.store.rows import NOW, a_run, a_session, a_submission


def intend(session):
    return partial(sessions.record_intent, session=session, most=9)


async def ask_to_cancel(store):
    later = NOW + timedelta(seconds=1)
    await store.write(partial(batches.record_cancel, batch_id="b1", at=later, reason="asked"))


async def close_batch(store):
    await store.write(partial(batches.record_closed, batch_id="b1", at=NOW, outcome=Outcome.INCONCLUSIVE))
    assert (await store.read(partial(batches.get_batch, batch_id="b1"))).status is BatchStatus.CLOSED


@pytest.mark.parametrize("end", [ask_to_cancel, close_batch])
async def test_a_batch_that_ends_sends_nothing_more(store, end):
    await store.write(intend(a_session("n1")))
    await store.write(partial(submissions.record_intent, submission=a_submission("a"), nonces=[]))
    await end(store)
    assert not await store.write(partial(sessions.record_sent, nonce="n1", at=NOW))
    assert not await store.write(partial(submissions.record_sent, submission_id="a", at=NOW))
    assert (await store.read(partial(sessions.get_session, nonce="n1"))).status is SessionStatus.INTENT


async def test_the_end_of_one_batch_does_not_hold_up_another(store):
    await ask_to_cancel(store)
    other = a_session("n2", batch_id="b2", run_id="b2-1")
    planned = [replace(a_run(1), batch_id="b2", run_id="b2-1")]
    batch = replace(await store.read(partial(batches.get_batch, batch_id="b1")), batch_id="b2", cancel_asked_at=None)
    await store.write(partial(batches.record_batch, batch=batch, planned=planned))
    await store.write(intend(other))
    submission = replace(a_submission("b"), batch_id="b2")
    await store.write(partial(submissions.record_intent, submission=submission, nonces=[]))
    assert await store.write(partial(sessions.record_sent, nonce="n2", at=NOW))
    assert await store.write(partial(submissions.record_sent, submission_id="b", at=NOW))
