"""A driving store with one open batch of two runs, on each database."""

from functools import partial
from pathlib import Path

import pytest

from orchestrator.store import batches
from orchestrator.store.database import open_store
from tests.store.rows import a_batch, a_run
from tests.support.empty import put_empty_state


@pytest.fixture
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path}/state/state.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    """The contract of the store is the same on both."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")


@pytest.fixture(params=["sqlite", "postgresql"])
def url_to_spoil(request):
    """One whose schema a test may change."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url_to_spoil")


@pytest.fixture
async def store(url):
    async for opened in one_open_batch(url):
        yield opened


@pytest.fixture
async def sqlite_store(sqlite_url):
    """For what is about its file."""
    async for opened in one_open_batch(sqlite_url):
        yield opened


async def one_open_batch(url):
    if url.startswith("sqlite:///"):
        put_empty_state(Path(url.removeprefix("sqlite:///")))
    store = open_store(url, driving="test")
    await store.write(partial(batches.record_batch, batch=a_batch(), planned=[a_run(1), a_run(2)]))
    yield store
    store.close()
