"""The writer's thread outlives whatever goes wrong, and leaves nobody without an answer."""

import asyncio
import sqlite3
import sys
import threading

import pytest
from sqlalchemy import create_engine, event, text

from orchestrator.domain.errors import Conflict, StateUnusable
from orchestrator.store.remnants import Remnants
from orchestrator.store.writer import Writer

PATIENCE = 5.0


@pytest.fixture
def engine(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/state.db", connect_args={"check_same_thread": False})
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE things (name TEXT PRIMARY KEY)"))
    yield engine
    engine.dispose()


@pytest.fixture
def writer(engine):
    writer = Writer(engine, remnants=Remnants(engine, owed=False))
    yield writer
    writer.close()


def answer_of(coroutine):
    return asyncio.wait_for(coroutine, PATIENCE)


def adds(name):
    return lambda connection: connection.execute(text("INSERT INTO things VALUES (:name)"), {"name": name}).rowcount


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (StateUnusable("state.db: file is not a database"), "file is not a database"),
        (sqlite3.OperationalError("unable to open database file"), "unable to open database file"),
        (OSError("too many open files"), "too many open files"),
    ],
)
async def test_a_connection_that_cannot_be_opened_is_told_and_the_next_one_is_tried(engine, trouble, words):
    engine.dispose()
    failing = [trouble]

    @event.listens_for(engine, "connect")
    def fail(connection, _):
        if failing:
            raise failing.pop()

    writer = Writer(engine, remnants=Remnants(engine, owed=False))
    with pytest.raises(StateUnusable, match=words):
        await answer_of(writer.write(adds("a")))
    assert await answer_of(writer.write(adds("a"))) == 1
    writer.close()


async def test_a_unit_that_ends_like_a_program_does_not_end_the_thread(writer):
    def leaves(connection):
        raise SystemExit

    with pytest.raises(StateUnusable):
        await answer_of(writer.write(leaves))
    assert await answer_of(writer.write(adds("a"))) == 1


async def test_a_row_that_another_one_excludes_is_its_callers_conflict_and_the_rest_of_the_commit_stands(
    writer, engine
):
    hold = threading.Event()
    first = asyncio.create_task(writer.write(lambda _: hold.wait(PATIENCE)))
    await asyncio.sleep(0.05)  # the writer is inside a commit: what comes now is committed together
    later = [asyncio.create_task(writer.write(adds(name))) for name in ("a", "a", "b")]
    await asyncio.sleep(0)
    hold.set()
    answers = await answer_of(asyncio.gather(*later, return_exceptions=True))
    assert [type(answer) for answer in answers] == [int, Conflict, int]
    assert await first
    with engine.connect() as connection:
        assert connection.execute(text("SELECT name FROM things ORDER BY name")).scalars().all() == ["a", "b"]


async def test_what_was_handed_in_before_closing_is_finished_and_what_comes_later_is_refused(writer):
    waiting = [asyncio.create_task(writer.write(adds(str(number)))) for number in range(50)]
    await asyncio.sleep(0)
    writer.close()
    with pytest.raises(StateUnusable, match="closed"):
        await answer_of(writer.write(adds("late")))
    assert await answer_of(asyncio.gather(*waiting)) == [1] * 50


@pytest.fixture
def often_switching():
    """Threads take turns a thousand times more often than usual, so that a race has its chance."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 1000)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("often_switching")
def test_every_unit_handed_in_while_another_thread_closes_is_answered(engine):
    """Whoever passed the check before closing must still be heard: the answer may be a refusal, never silence."""

    async def hand_in_until_refused(writer):
        refused = None
        while refused is None:
            try:
                await answer_of(writer.write(lambda _: None))
            except StateUnusable as closed:
                refused = str(closed)
        assert refused == "the store is closed"

    async def crowd(writer):
        await asyncio.gather(*(hand_in_until_refused(writer) for _ in range(50)))

    for _ in range(40):
        writer = Writer(engine, remnants=Remnants(engine, owed=False))
        closing = threading.Timer(0.01, writer.close)
        closing.start()
        asyncio.run(crowd(writer))
        closing.join()


async def test_a_caller_that_was_cancelled_does_not_take_the_writer_along(writer):
    hold = threading.Event()
    first = asyncio.create_task(writer.write(lambda _: hold.wait(PATIENCE)))
    await asyncio.sleep(0.02)
    first.cancel()
    hold.set()
    assert await answer_of(writer.write(adds("a"))) == 1
