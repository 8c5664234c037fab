"""A driving store with one open batch of two runs."""

from functools import partial

import pytest

from orchestrator.store import batches
from orchestrator.store.database import open_store
from tests.store.rows import a_batch, a_run


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/state/state.db"


@pytest.fixture
async def store(url):
    store = open_store(url, driving="test")
    await store.write(partial(batches.record_batch, batch=a_batch(), planned=[a_run(1), a_run(2)]))
    yield store
    store.close()
