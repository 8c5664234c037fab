"""What holds for every test, and the PostgreSQL that any of them may ask for."""

import pytest
from hypothesis import settings

from tests.support.postgres import PostgresServer

# Examples are judged by what they show, never by how long a busy machine took over them.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL of this test session's own."""
    server = PostgresServer()
    server.start()
    yield server
    server.stop()
    server.remove()


@pytest.fixture(scope="session")
def postgres_template(postgres_server):
    """The name of a database that holds the newest schema, to copy others from."""
    from orchestrator.store.database import open_store

    url = postgres_server.create()
    open_store(url, driving=None).close()
    return url.partition("@/")[2].partition("?")[0]


@pytest.fixture
def postgres_url(postgres_server, postgres_template):
    """A database of this test's own, with the newest schema and no rows."""
    return postgres_server.create(template=postgres_template)


@pytest.fixture(params=["sqlite", "postgresql"])
def each_url(request, tmp_path):
    """A state with no rows, on each database."""
    return f"sqlite:///{tmp_path}/state.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def each_store(each_url):
    """The same, open beside whoever drives it."""
    from orchestrator.store.database import open_store

    store = open_store(each_url, driving=None)
    yield store
    store.close()
