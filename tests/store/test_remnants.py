"""A meeting token that left its row leaves the files too: while the store is open, and when it is closed."""

import asyncio
import shutil
import sqlite3
from contextlib import contextmanager
from functools import partial

import pytest

from orchestrator.domain.secret import MeetingToken
from orchestrator.store import sessions
from orchestrator.store.database import open_store
from orchestrator.store.remnants import WIPE_EVERY
from tests.store.rows import NOW, a_session

TOKEN = "eyJhbGciOiJIUzI1NiJ9.tell-nobody"
PATIENCE = 5.0


@pytest.fixture
def traces(tmp_path):
    """How often the token occurs in the state file and everything beside it, log and index included."""

    def count(folder=tmp_path / "state"):
        return sum(file.read_bytes().count(TOKEN.encode()) for file in folder.iterdir())

    return count


async def gone(traces):
    async with asyncio.timeout(PATIENCE):
        while traces():  # noqa: ASYNC110  a file rings no bell
            await asyncio.sleep(0.05)


@contextmanager
def reading(path):
    """Another process's reader that looks at the state as it is now for as long as the block lasts."""
    beside = sqlite3.connect(path)
    beside.execute("BEGIN")
    beside.execute("SELECT count(*) FROM sessions").fetchone()
    yield
    beside.close()


async def hold_token(sqlite_store):
    await sqlite_store.write(partial(sessions.record_intent, session=a_session(), most=1))
    token = MeetingToken(TOKEN)
    answer = partial(sessions.record_answer, nonce="n1", at=NOW, session_id="s", room_url="u", meeting_token=token)
    await sqlite_store.write(answer)


CLEARING = {
    "submitted": partial(sessions.record_called, nonce="n1", cekura_run_id=7),
    "condemned": partial(sessions.record_condemned, nonce="n1", at=NOW, reason="over", teardown_from=NOW),
    "condemned with its batch": partial(sessions.condemn_batch, batch_id="b1", at=NOW, reason="cancelled"),
}


@pytest.mark.parametrize("clear", CLEARING.values(), ids=CLEARING)
async def test_a_token_leaves_the_files_soon_after_its_row_while_the_store_is_open(sqlite_store, traces, clear):
    await hold_token(sqlite_store)
    assert traces()
    await sqlite_store.write(clear)
    await gone(traces)
    assert await sqlite_store.read(partial(sessions.get_session, nonce="n1"))


async def test_no_token_is_left_when_the_store_is_closed_at_once(sqlite_store, traces):
    await hold_token(sqlite_store)
    await sqlite_store.write(CLEARING["submitted"])
    sqlite_store.close()
    assert traces() == 0


async def test_what_a_dead_process_left_is_wiped_when_the_next_one_drives(sqlite_store, tmp_path, traces):
    folder = tmp_path / "state"
    await hold_token(sqlite_store)
    with reading(folder / "state.db"):
        await sqlite_store.write(CLEARING["submitted"])
        dead = shutil.copytree(folder, tmp_path / "dead")  # what a process that ends here leaves on the disk
    sqlite_store.close()
    beside = sqlite3.connect(dead / "state.db")
    beside.execute("SELECT count(*) FROM sessions").fetchone()
    assert traces(dead)
    second = open_store(f"sqlite:///{dead}/state.db", driving="two")
    await gone(partial(traces, dead))
    second.close()
    beside.close()


async def test_a_reader_in_the_way_delays_the_wiping_and_no_write(sqlite_store, tmp_path, traces):
    await hold_token(sqlite_store)
    with reading(tmp_path / "state" / "state.db"):
        await sqlite_store.write(CLEARING["submitted"])
        await asyncio.sleep(WIPE_EVERY * 1.2)  # one wiping has been tried
        async with asyncio.timeout(PATIENCE):
            await sqlite_store.write(partial(sessions.record_note, nonce="n1", note="still writing"))
        assert traces()
    await gone(traces)


async def test_freed_pages_are_zeroed(sqlite_store):
    """Python's SQLite may or may not have been built to do so by itself."""
    assert (
        await sqlite_store.write(lambda connection: connection.exec_driver_sql("PRAGMA secure_delete").scalar_one())
        == 1
    )
