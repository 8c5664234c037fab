"""A webhook is refused, ignored or accepted, always with why; accepted, it pokes the batch it speaks of."""

import json
from dataclasses import replace
from functools import partial

import pytest

from orchestrator.app.webhook import Verdict, receive
from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.run import RunStatus
from orchestrator.domain.secret import ApiKey
from orchestrator.store import batches, runs
from orchestrator.store.database import open_store
from tests.store.rows import a_batch, a_run
from tests.support.hand_clock import HandClock
from tests.support.webhooks import CALL_LOG, OF_VAPI, PRE_TRIGGER, of_result

SECRET = ApiKey("s3cret")
DONE = json.dumps(of_result()).encode()


@pytest.fixture
async def store(tmp_path):
    """An open batch, whose one run is the run of `of_result`."""
    opened = open_store(f"sqlite:///{tmp_path}/state.db", driving="test")
    await opened.write(partial(batches.record_batch, batch=a_batch(), planned=[a_run(1)]))
    run = replace(a_run(1), status=RunStatus.SUBMITTED, cekura_run_id=39129)
    await opened.write(partial(runs.record_run, run=run, believed=a_run(1)))
    yield opened
    opened.close()


async def take(store, body=DONE, presented="s3cret", **more):
    return await receive(store, HandClock(), secret=SECRET, presented=presented, body=body, **more)


async def poked_at(store):
    return (await store.read(partial(batches.get_batch, batch_id="b1"))).poked_at


async def test_news_of_a_run_pokes_its_batch(store):
    receipt = await take(store)
    assert (receipt.verdict, receipt.batch_ids) == (Verdict.ACCEPTED, ("b1",))
    assert await poked_at(store) is not None


@pytest.mark.parametrize("presented", [None, "", "guessed", "ä", "\ud800"])
async def test_without_the_secret_nothing_is_done(store, presented):
    receipt = await take(store, presented=presented)
    assert receipt.verdict is Verdict.REFUSED
    assert "guessed" not in receipt.reason
    assert await poked_at(store) is None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (PRE_TRIGGER, "its calls have not begun"),
        (CALL_LOG, "names neither a result nor a run"),
        (OF_VAPI, "names no event"),
        (of_result(runs={}), "no open batch holds"),
        (of_result(result_id=2**63 - 1, runs=[2**63 - 1]), "no open batch holds"),
    ],
)
async def test_what_is_of_no_use_is_ignored_with_why(store, message, reason):
    receipt = await take(store, json.dumps(message).encode())
    assert receipt.verdict is Verdict.IGNORED
    assert reason in receipt.reason
    assert await poked_at(store) is None


async def test_a_replay_does_no_more_than_the_first(store):
    receipts = [await take(store) for _ in range(3)]
    assert {receipt.verdict for receipt in receipts} == {Verdict.ACCEPTED}
    run = await store.read(partial(runs.get_run, run_id="b1-1"))
    assert (run.status, run.outcome) == (RunStatus.SUBMITTED, None)


async def test_every_webhook_is_counted_once(store):
    counted = []
    for body, presented in ((DONE, "s3cret"), (DONE, "guessed"), (b"?", "s3cret")):
        await take(store, body, presented, counted=counted.append)
    assert [receipt.verdict.value for receipt in counted] == ["accepted", "refused", "ignored"]


async def test_a_state_that_cannot_be_written_is_polls_business_not_cekuras(store, monkeypatch):
    async def refuse(_):
        raise StateUnusable("the disk is full")

    monkeypatch.setattr(store, "write", refuse)
    receipt = await take(store)
    assert (receipt.verdict, receipt.reason) == (Verdict.IGNORED, "the state cannot be written")
