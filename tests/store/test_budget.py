"""The budget is counted cheaply, and never too low: what is remembered between two counts errs towards refusing."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text

from orchestrator.domain.budget import NO_LIMITS, SharedLimits
from orchestrator.domain.errors import StateUnusable
from orchestrator.domain.plan import Evidence
from orchestrator.domain.run import RunStatus
from orchestrator.domain.session import End, SessionStatus, Teardown
from orchestrator.store import budget, sessions, submissions
from orchestrator.store import runs as run_rows
from orchestrator.store.database import open_store
from tests.store.rows import NOW, a_run, a_session, a_submission

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


# --- calls of automated channels -------------------------------------------------------------------------------------


def carries(name, calls, *, runs, status=RunStatus.SUBMITTED, least=1, shared=NO_LIMITS, batch="b1"):
    """The intent of a submission and the runs it carries, as one unit; None where it is not granted."""

    def unit(connection):
        wanted = replace(a_submission(name), calls=calls, batch_id=batch)
        granted = submissions.record_automated_intent(connection, wanted, least=least, shared=shared)
        if granted is not None:
            carried = [
                replace(a_run(index), run_id=f"{name}-{index}", status=status, submission_id=name)
                for index in range(runs)
            ]
            run_rows.record_planned(connection, carried)
        return granted

    return unit


def moves(name, *indexes, to):
    def unit(connection):
        for index in indexes:
            believed = run_rows.get_run(connection, f"{name}-{index}")
            assert run_rows.record_run(connection, replace(believed, status=to), believed=believed)

    return unit


async def test_a_submission_holds_as_many_calls_as_it_may_or_has_runs_left(store):
    await store.write(carries("s1", 2, runs=5))
    await store.write(carries("s2", 3, runs=1, status=RunStatus.PLANNED))
    assert await store.read(budget.count_automated_calls) == 2 + 1
    await store.write(moves("s1", 0, 1, 2, to=RunStatus.CALL_ENDED))
    assert await store.read(budget.count_automated_calls) == 2 + 1
    await store.write(moves("s1", 3, to=RunStatus.JUDGED))
    await store.write(moves("s2", 0, to=RunStatus.CANCELLED))
    assert await store.read(budget.count_automated_calls) == 1


async def test_a_submission_is_granted_the_calls_that_all_batches_leave_or_waits_for_enough(store):
    limits = SharedLimits(calls=5)
    first = await store.write(carries("s1", 3, runs=3, shared=limits))
    assert first.calls == 3
    assert await store.write(carries("s2", 6, runs=6, least=3, shared=limits)) is None
    assert await store.read(partial(submissions.list_submissions, batch_id="b1")) == [first]
    second = await store.write(carries("s2", 4, runs=6, least=2, shared=limits))
    assert second.calls == 2
    assert await store.write(carries("s3", 1, runs=1, shared=limits)) is None


async def test_sessions_on_their_way_to_a_call_and_automated_calls_share_one_limit(store):
    limits = SharedLimits(calls=2)
    await store.write(carries("s1", 1, runs=4, shared=limits))
    room = partial(budget.has_shared_room, now=NOW, limits=limits)
    assert await store.write(room)
    await store.write(begins("n1", most=9))
    assert not await store.write(room)
    await store.write(moves("s1", 0, 1, 2, 3, to=RunStatus.JUDGED))
    assert await store.write(room)


async def test_two_workers_that_ask_at_once_are_not_both_granted_the_last_calls(url, store):
    limits = SharedLimits(calls=4)
    other = open_store(url, driving=None) if url.startswith("postgresql") else store
    try:
        asked = [
            one.write(carries(f"s{number}", 3, runs=3, shared=limits)) for number, one in enumerate([store, other] * 4)
        ]
        granted = [one.calls for one in await asyncio.gather(*asked) if one is not None]
    finally:
        if other is not store:
            other.close()
    assert sum(granted) == 4
