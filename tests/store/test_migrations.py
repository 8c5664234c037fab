"""A state of any earlier version is brought to this one, on each database, and nothing in it is lost."""

import asyncio
from functools import partial

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, create_engine, insert, make_url

from orchestrator.domain.batch import Origin
from orchestrator.domain.session import Teardown
from orchestrator.store import batches, pools, runs, sessions, submissions
from orchestrator.store.database import open_store
from orchestrator.store.migration import SCRIPTS, known_revisions
from orchestrator.store.tables import UtcTime
from tests.store.rows import NOW, a_session

EARLIER = known_revisions()[:-1]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path):
    """A database without any schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    return request.getfixturevalue("postgres_url_to_spoil")


def at_revision(url, revision):
    """Bring an empty database to an earlier schema, and put one of everything into it."""
    parsed = make_url(url)
    engine = create_engine(parsed.set(drivername="postgresql+psycopg") if "postgresql" in url else parsed)
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    with engine.begin() as connection:
        fill(connection)
    engine.dispose()


def fill(connection):
    moment = UtcTime().process_bind_param(NOW, connection.dialect)
    old = MetaData()
    old.reflect(connection, only=["batches", "runs", "submissions", "sessions"])
    rows = {
        "batches": {
            "batch_id": "b1",
            "name": "nightly",
            "status": "open",
            "created_at": moment,
            "document": {},
            "digest": "d",
            "speed": 1.0,
            "cancel_reason": "",
            "refusal": "",
        },
        "runs": {
            "run_id": "b1-1",
            "batch_id": "b1",
            "index": 1,
            "scenario_id": 101,
            "scenario_position": 0,
            "status": "starting",
            "reason": "",
            "attempt": 1,
            "retries_used": 0,
            "nonce": "n1",
            "timeline": {"starting": NOW.isoformat()},
        },
        "submissions": {
            "submission_id": "s1",
            "batch_id": "b1",
            "status": "sent",
            "intended_at": moment,
            "scenario_ids": [101],
            "note": "",
        },
        "sessions": {
            "nonce": "n1",
            "batch_id": "b1",
            "run_id": "b1-1",
            "attempt": 1,
            "agent_kind": "pipecat_cloud",
            "agent_address": "support-bot",
            "status": "alive",
            "intended_at": moment,
            "session_id": "remote-1",
            "ends_by": "the platform",
            "ends_at": moment,
            "room_expires_at": moment,
            "condemned_for": "",
            "teardown_tries": 0,
            "session_end": "open",
            "session_end_how": "",
            "room_end": "open",
            "room_end_how": "",
            "settled": False,
            "note": "",
            "submission_id": "s1",
        },
    }
    for name, values in rows.items():
        connection.execute(insert(old.tables[name]).values(**values))


@pytest.mark.parametrize("revision", EARLIER)
async def test_a_state_of_an_earlier_schema_keeps_all_it_held_and_takes_what_is_new(empty_url, revision):
    at_revision(empty_url, revision)
    store = open_store(empty_url, driving="test")
    try:
        batch = await store.read(partial(batches.get_batch, batch_id="b1"))
        assert (batch.name, batch.created_at, batch.origin, batch.owner) == ("nightly", NOW, Origin.COMMAND, None)
        assert (batch.stopped, batch.stopped_at) == ("", None)
        await store.write(partial(batches.record_stopped, batch_id="b1", at=NOW, reason="too slow"))
        stopped = await store.read(partial(batches.get_batch, batch_id="b1"))
        assert (stopped.stopped, stopped.stopped_at) == ("too slow", NOW)
        run = (await store.read(partial(runs.list_runs, batch_id="b1")))[0]
        assert (run.nonce, run.timeline["starting"]) == ("n1", NOW)
        session = await store.read(partial(sessions.get_session, nonce="n1"))
        assert (session.session_id, session.submission_id, session.pool) == ("remote-1", "s1", None)
        assert session.session_end.state is Teardown.OPEN
        assert [
            one.submission_id for one in await store.read(partial(submissions.list_submissions, batch_id="b1"))
        ] == ["s1"]
        assert await store.read(pools.list_pools) == []
        assert await store.write(partial(sessions.record_intent, session=a_session("n2"), most=2))
    finally:
        store.close()


async def test_many_that_open_an_old_state_at_once_migrate_it_once(postgres_server):
    url = postgres_server.create()
    at_revision(url, EARLIER[0])
    opened = await asyncio.gather(*(asyncio.to_thread(open_store, url, driving=None) for _ in range(4)))
    for store in opened:
        assert (await store.read(partial(batches.get_batch, batch_id="b1"))).name == "nightly"
        store.close()
