"""The budget is counted cheaply, and never too low: what is remembered between two counts errs towards refusing."""

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text

from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.plan import Evidence
from orchestrator.domain.session import End, SessionStatus, Teardown
from orchestrator.store import budget, sessions
from tests.store.rows import NOW, a_session

GONE = End(state=Teardown.CONFIRMED, how="record", at=NOW)


def begins(nonce, *, most, **changes):
    return partial(sessions.record_intent, session=a_session(nonce, **changes), most=most)


def ends(nonce):
    return partial(sessions.record_ends, nonce=nonce, session_end=GONE, room_end=GONE, again_at=NOW)


async def test_an_ended_session_makes_room_for_the_next(store):
    assert [await store.write(begins(f"n{i}", most=2)) for i in range(3)] == [True, True, False]
    await store.write(ends("n0"))
    assert [await store.write(begins(f"m{i}", most=2)) for i in range(2)] == [True, False]


async def test_a_session_past_its_bound_makes_room_for_the_next(store):
    assert await store.write(begins("n1", most=1))
    assert not await store.write(begins("n2", most=1, intended_at=NOW + timedelta(minutes=1)))
    assert await store.write(begins("n3", most=1, intended_at=NOW + timedelta(hours=3)))


async def test_a_session_given_up_as_unfound_counts_again_when_its_answer_comes_after_all(store):
    assert await store.write(begins("n1", most=2))
    await store.write(partial(sessions.record_status, nonce="n1", status=SessionStatus.UNFOUND, note=""))
    assert await store.write(begins("n2", most=2))
    answer = partial(sessions.record_answer, nonce="n1", at=NOW, session_id="s", room_url=None, meeting_token=None)
    await store.write(answer)
    assert not await store.write(begins("n3", most=2))


async def test_an_end_that_was_rolled_back_makes_no_room(store):
    """The commit that confirmed the end and counted anew was lost: what it counted must not be believed."""
    assert await store.write(begins("n1", most=1))

    def ends_begins_and_fails(connection):
        ends("n1")(connection)
        assert begins("n2", most=1)(connection)
        connection.execute(text("SELECT * FROM no_such_table"))

    with pytest.raises(StateUnusable):
        await store.write(ends_begins_and_fails)
    assert not await store.write(begins("n3", most=1))


async def test_a_unit_that_failed_leaves_no_count_of_its_own(store):
    assert await store.write(begins("n1", most=1))

    def ends_begins_and_thinks_better_of_it(connection):
        ends("n1")(connection)
        assert begins("n2", most=1)(connection)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  the unit's own
        await store.write(ends_begins_and_thinks_better_of_it)
    assert not await store.write(begins("n3", most=1))


async def test_sqlite_counts_by_the_index_of_those_that_may_hold(sqlite_store):
    def explained(connection):
        query = budget._HELD.compile(dialect=connection.dialect)
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", ("b1", "2026", "a", "b", "c", "d"))
        return " ".join(row.detail for row in plan)

    assert "sessions_that_hold" in await sqlite_store.read(explained)


async def test_a_confirmed_end_is_never_taken_back(store):
    await store.write(begins("n1", most=1))
    await store.write(ends("n1"))
    open_again = partial(
        sessions.record_ends, nonce="n1", session_end=End(how="unsure"), room_end=End(how="unsure"), again_at=NOW
    )
    row = await store.write(open_again)
    assert row.session_end == row.room_end == GONE
    assert row.torn_down


async def test_what_was_seen_in_a_room_stays_seen(store):
    await store.write(begins("n1", most=1))
    ready = partial(sessions.record_ready, nonce="n1", at=NOW)
    assert (await store.write(partial(ready, evidence=Evidence.PRESENCE))).seen_in_room_at == NOW
    assert (await store.write(partial(ready, evidence=Evidence.SETTLE))).seen_in_room_at == NOW
