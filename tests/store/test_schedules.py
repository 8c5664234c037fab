"""Who may decide on a schedule's occurrences, and that each is decided once."""

from datetime import timedelta
from functools import partial

import pytest

from orchestrator.domain.errors import Conflict
from orchestrator.domain.schedule import Decided, FireDecision, MadeBy, ScheduleRecord
from orchestrator.domain.verdict import Outcome
from orchestrator.store import batches, fires, schedules
from orchestrator.store.database import open_store
from tests.store.rows import NOW, a_batch

LATER = NOW + timedelta(minutes=10)


def a_record(**changes):
    values = {"name": "nightly", "document": {"schedule": {"every": 600}}, "made_by": MadeBy.CONFIG}
    moments = dict.fromkeys(("created_at", "updated_at", "considered_until"), NOW)
    return ScheduleRecord(**{**values, **moments, **changes})


def claim(**changes):
    values = {"name": "nightly", "believed": NOW, "updated_at": NOW, "until": LATER}
    return partial(schedules.claim_occurrences, **{**values, **changes})


@pytest.fixture
async def held(store):
    """The store with one schedule."""
    await store.write(partial(schedules.record_schedule, record=a_record()))
    return store


async def test_the_right_to_decide_up_to_a_moment_is_given_once(held):
    assert await held.write(claim())
    assert not await held.write(claim())
    assert await held.write(claim(believed=LATER, until=LATER + timedelta(minutes=10)))


@pytest.mark.parametrize("change", [{"believed": LATER}, {"updated_at": LATER}, {"name": "lost"}])
async def test_who_believes_something_else_may_not_decide(held, change):
    assert not await held.write(claim(**change))
    assert await held.write(claim())


@pytest.mark.parametrize(
    "rest",
    [
        partial(schedules.record_paused, name="nightly", at=NOW, by="me"),
        partial(schedules.sync_schedules, wanted=[], at=NOW),
    ],
    ids=["paused", "removed"],
)
async def test_nobody_decides_on_a_schedule_that_rests(held, rest):
    await held.write(rest)
    assert not await held.write(claim())
    assert await held.read(schedules.list_standing) == []


async def test_a_moment_is_decided_once_whoever_tries(held):
    decide = partial(
        fires.record_fire, schedule="nightly", decided=Decided(due_at=NOW, decision=FireDecision.MISSED), at=NOW
    )
    await held.write(decide)
    with pytest.raises(Conflict):
        await held.write(decide)
    assert len(await held.read(partial(fires.list_fires, schedule="nightly", limit=5))) == 1


async def test_what_waits_begins_once(held):
    waits = Decided(due_at=NOW, decision=FireDecision.QUEUED)
    fire = await held.write(partial(fires.record_fire, schedule="nightly", decided=waits, at=NOW))
    [standing] = await held.read(schedules.list_standing)
    assert standing.waiting
    begun = partial(
        fires.record_begun, fire=fire, decided=Decided(due_at=NOW, decision=FireDecision.FIRED), at=NOW, batch_id="b1"
    )
    assert await held.write(begun)
    assert not await held.write(begun)
    [standing] = await held.read(schedules.list_standing)
    assert not standing.waiting


async def test_open_batches_of_a_schedule_are_its_own_and_not_closed(held):
    def unit(connection):
        for name, schedule in (("b2", "nightly"), ("b3", "nightly"), ("b4", "other")):
            batches.record_batch(connection, a_batch(batch_id=name, schedule=schedule), [])
        batches.record_closed(connection, "b2", at=NOW, outcome=Outcome.PASSED)

    await held.write(unit)
    assert await held.read(partial(fires.open_batches, schedule="nightly")) == ["b3"]


async def test_a_worker_that_finds_another_deciding_does_not_wait_for_it(postgres_url):
    """On PostgreSQL: the row is locked by the first, and the second has nothing to do."""
    first, second = (open_store(postgres_url, driving=None) for _ in range(2))
    await first.write(partial(schedules.record_schedule, record=a_record()))
    answers = []

    def deciding(connection):
        answers.append(claim()(connection))
        with second._writing.begin() as other:
            answers.append(claim()(other))

    await first.write(deciding)
    assert answers == [True, False]
    first.close()
    second.close()
