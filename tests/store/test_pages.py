"""Pages of lists: every row once and in order, whatever is added meanwhile, and no more read than is shown."""

import asyncio
import shutil
from collections import Counter
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import partial
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from orchestrator.app import pages
from orchestrator.app.batches import resolve_batch_id
from orchestrator.domain.batch import BatchStatus, Origin, Totals
from orchestrator.domain.errors import InvalidCursor, NotFound
from orchestrator.domain.verdict import Outcome
from orchestrator.store import batches, runs, sessions
from orchestrator.store.database import open_store
from tests.store.rows import NOW, a_batch, a_run, a_session

SECOND = timedelta(seconds=1)
# How many pages are read before one more row is added, and how many seconds after the first row it was made.
ADDITIONS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), max_size=6)
FIRST_ROWS = st.lists(st.integers(0, 8), max_size=12)  # seconds; many share one


async def add_batch(store, number, second, **changes):
    batch = a_batch(batch_id=f"b{number:04}", created_at=NOW + second * SECOND, **changes)
    await store.write(partial(batches.record_batch, batch=batch, planned=[]))
    return batch.created_at, batch.batch_id


async def add_session(store, number, second, **changes):
    if not number:
        await store.write(partial(batches.record_batch, batch=a_batch(), planned=[a_run()]))
    session = a_session(f"n{number:04}", intended_at=NOW + second * SECOND, **changes)
    await store.write(partial(sessions.record_intent, session=session, most=10**6))
    return session.intended_at, session.nonce


async def batch_keys(store, **asked):
    page = await pages.batch_page(store, **asked)
    return [(one.created_at, one.batch_id) for one, _ in page.items], page.next_cursor


async def session_keys(store, **asked):
    page = await pages.session_page(store, **asked)
    return [(one.intended_at, one.nonce) for one in page.items], page.next_cursor


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Opens an empty state, again and again; only the first has to be made."""
    template = tmp_path_factory.mktemp("pages") / "state.db"
    open_store(f"sqlite:///{template}", driving=None).close()
    numbers = count()

    def open_fresh():
        path = template.with_name(f"{next(numbers)}.db")
        shutil.copy(template, path)
        return open_store(f"sqlite:///{path}", driving=None)

    return open_fresh


@pytest.mark.parametrize("listing", [(add_batch, batch_keys), (add_session, session_keys)])
@settings(max_examples=60)
@given(first=FIRST_ROWS, additions=ADDITIONS, limit=st.integers(1, 5))
def test_every_row_is_seen_once_and_in_order_whatever_is_added_meanwhile(fresh, listing, first, additions, limit):
    add, keys = listing

    async def walk():
        with closing(fresh()) as store:
            numbers = count()
            before = [await add(store, next(numbers), second) for second in first]
            seen, cursor = await keys(store, limit=limit)
            for turn in count():
                if cursor is None:
                    break
                for _, second in [one for one in additions if one[0] == turn]:
                    await add(store, next(numbers), second)
                shown, cursor = await keys(store, limit=limit, cursor=cursor)
                assert len(shown) <= limit
                assert seen[-1] > shown[0]
                seen += shown
        return before, seen

    before, seen = asyncio.run(walk())
    assert seen == sorted(set(seen), reverse=True)
    assert set(before) <= set(seen)


@pytest.fixture
async def history(store):
    """Five batches of two names, beside the open one of the fixture."""
    for number, name in enumerate(["nightly", "smoke", "nightly", "smoke", "smoke"]):
        schedule = "every-day" if number % 2 else None
        origin = Origin.SCHEDULE if schedule else Origin.API
        closed = BatchStatus.CLOSED if number < 3 else BatchStatus.OPEN
        await add_batch(store, number, -10 + number, name=name, schedule=schedule, origin=origin, status=closed)
    return store


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["b1", "b0004", "b0003", "b0002", "b0001", "b0000"]),
        ({"name": "smoke"}, ["b0004", "b0003", "b0001"]),
        ({"status": BatchStatus.CLOSED}, ["b0002", "b0001", "b0000"]),
        ({"schedule": "every-day"}, ["b0003", "b0001"]),
        ({"origin": Origin.API}, ["b0004", "b0002", "b0000"]),
        ({"since": NOW - 8 * SECOND, "until": NOW - 6 * SECOND}, ["b0003", "b0002"]),
        ({"name": "smoke", "status": BatchStatus.OPEN, "until": NOW}, ["b0004", "b0003"]),
        ({"name": "nobody"}, []),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_filtered_batches_are_those_of_the_filter_page_by_page(history, asked, found, limit):
    listed = await pages.gather_pages(
        lambda most, cursor: pages.batch_page(history, limit=min(most, limit), cursor=cursor, **asked), most=None
    )

    assert [batch.batch_id for batch, _ in listed] == found


async def test_batches_are_counted_by_outcome_all_at_once(store):
    outcomes = [Outcome.PASSED, Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE, None]
    planned = [a_run(number, outcome=outcome) for number, outcome in enumerate(outcomes, start=3)]
    await store.write(partial(runs.record_planned, planned=planned))

    totals = await store.read(partial(batches.totals_of, batch_ids=["b1", "b2"]))

    assert totals["b1"] == Totals(runs=7, passed=2, failed=1, inconclusive=1)
    assert totals["b2"] == Totals(runs=0, passed=0, failed=0, inconclusive=0)
    assert await store.read(partial(batches.totals_of, batch_ids=[])) == {}


async def test_runs_come_in_order_from_behind_the_last_one_that_was_shown(store):
    await store.write(partial(runs.record_planned, planned=[a_run(number) for number in (3, 4, 5)]))

    first = await pages.run_page(store, "b1", limit=2)
    second = await pages.run_page(store, "b1", limit=2, cursor=first.next_cursor)
    third = await pages.run_page(store, "b1", limit=2, cursor=second.next_cursor)

    assert [[run.index for run in page.items] for page in (first, second, third)] == [[1, 2], [3, 4], [5]]
    assert third.next_cursor is None


async def test_a_cursor_of_another_list_is_refused_before_anything_is_read(store):
    runs_of = await pages.run_page(store, "b1", limit=1)
    for ask in (pages.batch_page, pages.session_page, pages.audit_page):
        with pytest.raises(InvalidCursor):
            await ask(store, limit=1, cursor=runs_of.next_cursor)


async def test_sessions_are_listed_by_batch_pool_and_what_is_left_to_end(store):
    warm = a_session("warm", batch_id="", run_id="", pool="p", intended_at=NOW + SECOND)
    for one, most in ((a_session("n1"), 9), (a_session("n2", pool="p"), 9)):
        await store.write(partial(sessions.record_intent, session=one, most=most))
    await store.write(partial(sessions.record_intent, session=warm, most=9))
    await store.write(partial(sessions.record_status, nonce="n1", status=sessions.SessionStatus.REFUSED, note=""))

    async def nonces(**asked):
        return [one.nonce for one in (await pages.session_page(store, limit=9, **asked)).items]

    assert await nonces() == ["warm", "n2", "n1"]
    assert await nonces(batch_id="b1") == ["n2", "n1"]
    assert await nonces(pool="p") == ["warm", "n2"]
    assert await nonces(unsettled=True) == ["warm", "n2"]
    assert await nonces(unsettled=True, batch_id="b1") == ["n2"]


async def test_a_batch_is_found_by_its_id_its_beginning_or_as_the_latest(store):
    for number, name in enumerate(["20261121-1", "20261121-12", "20261122-1", "B1", "%", "_"]):
        await store.write(
            partial(
                batches.record_batch, batch=a_batch(batch_id=name, created_at=NOW - (number + 1) * SECOND), planned=[]
            )
        )

    for name, found in {
        "latest": "b1",
        "b": "b1",
        "B": "B1",
        "20261121-1": "20261121-1",
        "20261122": "20261122-1",
    }.items():
        assert await resolve_batch_id(store, name) == found
    assert await resolve_batch_id(store, "%") == "%"
    for name in ("", "2", "20261121", "20261121-13", "b1 ", "ä", "\x00", "\udcff", "b\uffff"):
        with pytest.raises(NotFound, match="more than one batch" if name in {"2", "20261121"} else "no batch"):
            await resolve_batch_id(store, name)


async def test_a_session_is_found_by_either_name_or_the_beginning_of_one(store):
    for nonce, session_id in (("n1", "s-1"), ("n12", "s-2"), ("m1", None)):
        await store.write(partial(sessions.record_intent, session=a_session(nonce), most=9))
        answer = {"at": NOW, "session_id": session_id, "room_url": None, "meeting_token": None}
        await store.write(partial(sessions.record_answer, nonce=nonce, **answer))

    for name, found in {
        "n1": "n1",
        "n12": "n12",
        "s-2": "n12",
        "m": "m1",
        "n12 ": None,
        "s-": None,
        "\udcff": None,
    }.items():
        if found:
            assert (await store.read(partial(sessions.find_session, name=name))).nonce == found
        else:
            with pytest.raises(NotFound, match="more than one session" if name == "s-" else "no session"):
                await store.read(partial(sessions.find_session, name=name))


@contextmanager
def statements(store):
    """What is asked of the state meanwhile."""
    asked = []

    def note(_connection, _cursor, statement, parameters, *_):
        asked.append((statement, parameters))

    event.listen(store._reading, "before_cursor_execute", note)
    yield asked
    event.remove(store._reading, "before_cursor_execute", note)


async def plan_of(store, statement, parameters):
    def explain(connection):
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        return [row[-1] for row in rows]

    return await store.read(explain)


LISTS = {
    "all": (pages.batch_page, {}, "batches_by_creation"),
    "of a status": (pages.batch_page, {"status": BatchStatus.OPEN}, "batches_by_status"),
    "of a name": (pages.batch_page, {"name": "nightly"}, "batches_by_name"),
    "of an origin": (pages.batch_page, {"origin": Origin.API}, "batches_by_origin"),
    "of a schedule": (pages.batch_page, {"schedule": "every-day"}, "batches_of_a_schedule"),
    "sessions": (pages.session_page, {}, "sessions_by_intent"),
    "of a batch": (pages.session_page, {"batch_id": "b1"}, "sessions_of_a_batch"),
    "of a pool": (pages.session_page, {"pool": "p"}, "sessions_of_a_pool"),
    "left": (pages.session_page, {"unsettled": True}, "sessions_to_tear_down"),
    "audit": (pages.audit_page, {}, "audit"),
    "of a target": (pages.audit_page, {"target": "b1"}, "audit_of_a_target"),
    "of an actor": (pages.audit_page, {"actor": "x"}, "audit_of_an_actor"),
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("begun", [False, True])
async def test_an_index_answers_every_list_in_its_order(history, name, begun):
    if history._reading.dialect.name != "sqlite":
        pytest.skip("PostgreSQL reads a table this small as a whole")
    page, asked, index = LISTS[name]
    listed = {pages.batch_page: pages.BATCHES, pages.session_page: pages.SESSIONS}.get(page)
    cursor = pages.moment_cursor(listed, NOW, "b") if listed else pages.number_cursor(pages.AUDIT, 9)
    with statements(history) as said:
        await page(history, limit=2, cursor=cursor if begun else None, **asked)

    plan = await plan_of(history, *said[0])
    assert len(plan) == 1 + (name == "left"), plan
    assert index in plan[0], plan
    assert name == "left" or "TEMP B-TREE" not in " ".join(plan), plan  # what is left is little: it may be sorted


async def test_a_page_of_batches_takes_two_queries_however_many_are_shown(history):
    asked = Counter()
    for limit in (1, 5):
        with statements(history) as said:
            await pages.batch_page(history, limit=limit)
        asked[limit] = len(said)

    assert asked == {1: 2, 5: 2}
