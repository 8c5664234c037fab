import pytest

from tests.support.bench import Bench


@pytest.fixture
def bench(tmp_path):
    return Bench(folder=tmp_path)
