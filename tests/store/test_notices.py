"""Notices in the state: each try is one worker's, whatever others do at the same time."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from orchestrator.domain.notice import BatchEnd, Delivery, DeliveryResult, Notice, NoticeKind, NoticeStatus, Occasion
from orchestrator.domain.verdict import Outcome
from orchestrator.store import batches, notices
from orchestrator.store.database import open_store
from orchestrator.store.workers import now_of
from tests.store.rows import NOW, a_batch

CLAIM = timedelta(seconds=60)
SENT = Delivery(result=DeliveryResult.SENT)
FAILED = Delivery(result=DeliveryResult.FAILED, trouble="HTTP 500", retry_after=600)


def a_notice(name="n1", position=0, **changes):
    values = {"notice_id": name, "batch_id": "b1", "position": position, "kind": NoticeKind.WEBHOOK}
    told = {"why": (Occasion.FAILURE, Occasion.CHANGE), "end": BatchEnd.FAILED, "created_at": NOW, "next_try_at": NOW}
    return Notice(**{**values, **told, **changes})


@pytest.fixture
async def store(each_store):
    await each_store.write(partial(batches.record_batch, batch=a_batch(), planned=[]))
    return each_store


async def claim(store, most=10, now=NOW, but=()):
    return await store.write(partial(notices.claim_due, now=now, lasts=CLAIM, most=most, but=but))


async def settle(store, notice, delivery, now=NOW):
    record = partial(notices.record_delivery, claimed=notice, delivery=delivery, now=now, spread=0.0)
    return await store.write(record)


async def known(store):
    return await store.read(partial(notices.page_notices, limit=100))


async def test_a_notice_is_read_as_it_was_written(store):
    told = a_notice(before=BatchEnd.PASSED, before_batch_id="b0")
    await store.write(partial(notices.record_notices, new=[told]))
    assert await known(store) == [told]


async def test_a_claimed_notice_is_nobody_elses_until_its_claim_runs_out(store):
    await store.write(partial(notices.record_notices, new=[a_notice(), a_notice("n2", 1)]))
    first = await claim(store, most=1)
    second = await claim(store)
    assert len({one.notice_id for one in (*first, *second)}) == len(first) + len(second) == 2
    assert await claim(store) == []
    assert not await store.read(partial(notices.any_due, now=NOW))
    assert [one.tries for one in await known(store)] == [1, 1]
    await store.write(notices.release_claims)
    assert [one.tries for one in await claim(store)] == [2, 2]


async def test_what_was_sent_or_given_up_is_never_claimed_again(store):
    await store.write(partial(notices.record_notices, new=[a_notice(), a_notice("n2", 1), a_notice("n3", 2)]))
    sent, refused, failed = await claim(store)
    await settle(store, sent, SENT)
    await settle(store, refused, Delivery(result=DeliveryResult.REFUSED, trouble="HTTP 404"))
    await settle(store, failed, FAILED)
    assert await claim(store) == []
    assert {one.status for one in await known(store)} == set(NoticeStatus)
    assert [one.notice_id for one in await store.read(partial(notices.waiting_notices, limit=9))] == [failed.notice_id]
    unsent = await store.read(partial(notices.page_notices, limit=9, unsent=True))
    assert {one.notice_id for one in unsent} == {refused.notice_id, failed.notice_id}


async def test_the_answer_to_an_earlier_claim_does_not_undo_a_later_one_but_that_it_was_sent_counts(store):
    await store.write(partial(notices.record_notices, new=[a_notice()]))
    (early,) = await claim(store)
    await store.write(notices.release_claims)
    (late,) = await claim(store)
    await settle(store, early, FAILED)
    assert (await known(store))[0].last_error == ""
    assert (await settle(store, early, SENT)).status is NoticeStatus.SENT
    await settle(store, late, FAILED)
    assert (await known(store))[0].status is NoticeStatus.SENT


async def test_those_that_cannot_be_sent_here_are_left_to_others(store):
    await store.write(partial(notices.record_notices, new=[a_notice(), a_notice("n2", 1)]))
    assert [one.notice_id for one in await claim(store, but=["n1"])] == ["n2"]
    assert not await store.read(partial(notices.any_due, now=NOW, but=["n1"]))
    assert await store.read(partial(notices.any_due, now=NOW))


async def test_of_many_workers_one_gets_each_notice(postgres_url):
    stores = [open_store(postgres_url, driving=None) for _ in range(4)]
    try:
        await stores[0].write(partial(batches.record_batch, batch=a_batch(), planned=[]))
        new = [a_notice(f"n{number}", number) for number in range(40)]
        await stores[0].write(partial(notices.record_notices, new=new))
        claimed = await asyncio.gather(*(claim(store, most=3) for store in stores * 20))
        names = [one.notice_id for some in claimed for one in some]
        assert sorted(names) == sorted(one.notice_id for one in new)
    finally:
        for store in stores:
            store.close()


async def test_a_shared_state_goes_by_its_own_clock(postgres_url):
    store = open_store(postgres_url, driving=None)
    try:
        await store.write(partial(batches.record_batch, batch=a_batch(), planned=[]))
        at = await store.read(partial(now_of, now=NOW))
        await store.write(partial(notices.record_notices, new=[a_notice(next_try_at=at + timedelta(hours=1))]))
        assert await claim(store, now=at + timedelta(days=1)) == []  # a worker whose clock is a day ahead
    finally:
        store.close()


async def test_the_one_before_is_the_last_of_its_name_that_closed(store):
    for number, name in enumerate(("nightly", "other", "nightly", "nightly"), start=2):
        batch = a_batch(batch_id=f"b{number}", name=name)
        await store.write(partial(batches.record_batch, batch=batch, planned=[]))
    for minutes, batch_id in enumerate(("b4", "b2", "b3")):
        at = NOW + timedelta(minutes=minutes)
        await store.write(partial(batches.record_closed, batch_id=batch_id, at=at, outcome=Outcome.PASSED))
    last = partial(batches.last_closed, name="nightly")
    assert (await store.read(partial(last, but="b5"))).batch_id == "b2"
    assert (await store.read(partial(last, but="b2"))).batch_id == "b4"
    assert await store.read(partial(batches.last_closed, name="nobody", but="b1")) is None


async def test_a_batch_is_closed_once(store):
    close = partial(batches.record_closed, batch_id="b1", at=NOW, outcome=Outcome.FAILED)
    assert [await store.write(close), await store.write(close)] == [True, False]
