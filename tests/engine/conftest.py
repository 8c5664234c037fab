import pytest

from tests.support.bench import Bench


@pytest.fixture
def bench(tmp_path):
    return Bench(folder=tmp_path)


def pytest_collection_modifyitems(config, items):
    """Rows of the weather matrix that take long are played when asked for: `make weather`."""
    if "weather" not in config.getoption("markexpr"):
        left_out = [item for item in items if item.get_closest_marker("weather")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("weather")]
