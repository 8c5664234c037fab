"""Definitions of pools: who made them may change them; and one worker keeps each."""

from datetime import timedelta
from functools import partial

import pytest

from orchestrator.domain.errors import Conflict, NotFound
from orchestrator.store import pools, workers
from tests.store.rows import NOW

LATER = NOW + timedelta(minutes=1)
DOCUMENT = {"min_ready": 2}
OTHER = {"min_ready": 3}


def create(store, name="support", *, document=DOCUMENT, source=pools.CONFIG, at=NOW):
    return store.write(partial(pools.create_pool, name=name, document=document, source=source, at=at))


def sync(store, wanted, *, at=LATER):
    return store.write(partial(pools.sync_configured, wanted=wanted, at=at))


async def names(store):
    return [pool.name for pool in await store.read(pools.list_pools)]


async def test_a_service_file_adds_changes_and_removes_its_pools_and_leaves_the_apis_alone(store):
    for name in ("changed", "gone", "same"):
        await create(store, name)
    await create(store, "foreign", source=pools.API)
    changes = await sync(store, {"changed": OTHER, "new": DOCUMENT, "same": DOCUMENT})
    assert changes == pools.Changes(added=("new",), changed=("changed",), removed=("gone",))
    assert await names(store) == ["changed", "foreign", "new", "same"]
    same = await store.read(partial(pools.get_pool, name="same"))
    assert same.updated_at == NOW
    changed = await store.read(partial(pools.get_pool, name="changed"))
    assert (changed.document, changed.updated_at) == (OTHER, LATER)


async def test_a_service_file_that_names_a_pool_of_the_api_changes_nothing_at_all(store):
    await create(store, "foreign", source=pools.API)
    with pytest.raises(Conflict, match="already, made by the API"):
        await sync(store, {"foreign": OTHER, "new": DOCUMENT})
    assert await names(store) == ["foreign"]


async def test_two_pools_of_one_name_are_refused(store):
    await create(store)
    with pytest.raises(Conflict, match="pool support already, made by the service file"):
        await create(store, source=pools.API, at=LATER)


@pytest.mark.parametrize("verb", ["replace_pool", "remove_pool"])
async def test_who_did_not_make_a_pool_may_not_change_it(store, verb):
    await create(store)
    more = {"document": OTHER} if verb == "replace_pool" else {}
    with pytest.raises(Conflict, match="alone may change it"):
        await store.write(partial(getattr(pools, verb), name="support", source=pools.API, at=LATER, **more))


async def test_a_removed_pool_is_not_found_and_its_name_is_free(store):
    await create(store)
    await store.write(partial(pools.remove_pool, name="support", source=pools.CONFIG, at=LATER))
    assert await names(store) == []
    with pytest.raises(NotFound, match="no pool support"):
        await store.read(partial(pools.get_pool, name="support"))
    again = await create(store, source=pools.API, document=OTHER, at=LATER)
    assert (again.document, again.created_at, again.removed_at) == (OTHER, LATER, None)


async def test_a_pause_keeps_who_paused_first_and_a_resume_ends_it(store):
    await create(store)
    await store.write(partial(pools.pause_pool, name="support", by="ann", at=NOW))
    pool = await store.write(partial(pools.pause_pool, name="support", by="bob", at=LATER))
    assert (pool.paused_at, pool.paused_by) == (NOW, "ann")
    assert pool.why_empty == "the pool was paused"
    assert [await store.write(partial(pools.resume_pool, name="support")) for _ in range(2)] == [True, False]
    pool = await store.read(partial(pools.get_pool, name="support"))
    assert (pool.paused_at, pool.paused_by, pool.why_empty) == (None, None, "")


async def test_a_pool_has_one_owner_until_that_one_releases_it(store):
    await create(store)
    claim = partial(pools.claim_pool, name="support")
    assert await store.write(partial(claim, worker_id="w1"))
    assert not await store.write(partial(claim, worker_id="w2"))
    assert await store.read(pools.ownerless) == []
    assert not await store.write(partial(pools.release_pool, name="support", worker_id="w2"))
    assert await store.read(partial(pools.owned_pool, name="support", worker_id="w2")) is None
    assert await store.write(partial(pools.release_pool, name="support", worker_id="w1"))
    assert await store.write(partial(claim, worker_id="w2"))


async def test_the_pools_of_workers_that_are_gone_are_free(store):
    for name, owner in (("a", "w1"), ("b", "w2"), ("c", "w3")):
        await create(store, name)
        await store.write(partial(pools.claim_pool, name=name, worker_id=owner))
    await store.write(partial(workers.free, worker_ids=["w1", "w3"]))
    assert await store.read(pools.ownerless) == ["a", "c"]


async def test_only_the_owners_word_on_a_pools_trouble_counts(store):
    await create(store)
    await store.write(partial(pools.claim_pool, name="support", worker_id="w1"))
    await store.write(partial(pools.record_trouble, name="support", worker_id="w1", trouble="its key is wrong"))
    await store.write(partial(pools.record_trouble, name="support", worker_id="w2", trouble=""))
    pool = await store.read(partial(pools.get_pool, name="support"))
    assert pool.trouble == "its key is wrong"
