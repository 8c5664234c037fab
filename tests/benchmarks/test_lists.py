"""A list costs what is shown of it, not what is in history: counted here, timed by `python -m benchmarks.lists`."""

import asyncio
import sys
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import event

from benchmarks import lists
from orchestrator.store.database import open_store

FEW, MANY = 100, 2_000  # the whole 10,000 are `python -m benchmarks.lists`'s: to make them takes a minute
STEP = 10  # instructions of SQLite's machine from one count to the next
ALLOWED = 1.5  # a deeper index costs nothing here; a page or two more of it may


@pytest.fixture(scope="module")
def urls(tmp_path_factory):
    """A history of each size."""
    found = {size: f"sqlite:///{tmp_path_factory.mktemp('lists')}/state.db" for size in (FEW, MANY)}
    asyncio.run(lists.build(found))
    return found


class Work:
    """What the state was made to do: queries, and the instructions they took."""

    def __init__(self):
        self.queries = 0
        self.instructions = 0

    def step(self):
        self.instructions += STEP

    def query(self, *_):
        self.queries += 1


@contextmanager
def counted(url):
    work, store = Work(), open_store(url, driving=None)
    try:
        event.listen(store._reading, "connect", lambda connection, _: connection.set_progress_handler(work.step, STEP))
        event.listen(store._reading, "before_cursor_execute", work.query)
        yield store, work
    finally:
        store.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", lists.looks(FEW))
async def test_a_list_asks_and_reads_no_more_with_20_times_the_history(urls, name):
    with ExitStack() as opened:
        (few, at_first), (many, later) = (opened.enter_context(counted(urls[size])) for size in (FEW, MANY))
        await lists.looks(FEW)[name](few)
        await lists.looks(MANY)[name](many)

    assert 0 < later.queries == at_first.queries
    assert 0 < later.instructions <= ALLOWED * at_first.instructions, (at_first.instructions, later.instructions)


@pytest.mark.slow
async def test_how_long_each_list_takes_is_printed(urls, capsys):
    rows = await lists.timed(urls)

    with capsys.disabled():
        sys.stdout.write("".join(f"\n{lists.describe(row)}" for row in rows))
    assert {row["name"] for row in rows} == set(lists.looks(FEW))
