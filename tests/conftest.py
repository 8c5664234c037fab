"""What holds for every test, which of them run only when asked for, and the PostgreSQL that any of them may ask for."""

import os

import pytest
from hypothesis import settings

from orchestrator.store import postgres
from tests.support.empty import put_empty_state
from tests.support.postgres import PostgresServer

# Examples are judged by what they show, never by how long a busy machine took over them. They are the same in every
# run, so that a change is what breaks one; EXAMPLES asks for others.
settings.register_profile("unhurried", deadline=None, derandomize="EXAMPLES" not in os.environ)
settings.load_profile("unhurried")
# Long proofs, each with a make target; a small version of each belongs to every run.
ON_DEMAND = {"weather", "workers", "long", "slow_install"}


def pytest_collection_modifyitems(config, items):
    """Leave out what nobody asked for by `-m`."""
    left_to = {mark for mark in ON_DEMAND if mark not in config.getoption("markexpr")}
    kept, left_out = [], []
    for item in items:
        (left_out if left_to & {mark.name for mark in item.iter_markers()} else kept).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL of this test session's own."""
    server = PostgresServer()
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        # On a busy machine a test waits longer between two statements than a worker ever should.
        patch.setattr(postgres, "IDLE_MS", 30_000)
        yield server
    server.stop()
    server.remove()


@pytest.fixture(scope="session")
def postgres_database(postgres_server):
    """A database with the newest schema, which one test after the other has to itself."""
    from orchestrator.store.database import open_store

    url = postgres_server.create()
    open_store(url, driving=None).close()
    return url


@pytest.fixture
def postgres_url(postgres_server, postgres_database):
    """A database with the newest schema and no rows."""
    yield postgres_database
    postgres_server.empty(postgres_database)


@pytest.fixture
def postgres_url_to_spoil(postgres_server):
    """A database of this test's own, whose schema it may change; empty."""
    return postgres_server.create()


@pytest.fixture(params=["sqlite", "postgresql"])
def each_url(request, tmp_path):
    """A state with no rows, on each database."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    put_empty_state(tmp_path / "state.db")
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def each_store(each_url):
    """The same, open beside whoever drives it."""
    from orchestrator.store.database import open_store

    store = open_store(each_url, driving=None)
    yield store
    store.close()
