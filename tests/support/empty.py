"""A state on SQLite that is migrated and holds nothing: to copy it is far quicker than to make one."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator.store.database import open_store


def put_empty_state(path):
    """Write one to `path`, where there is none yet."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_empty_state())


@cache
def _empty_state():
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        open_store(f"sqlite:///{path}", driving=None).close()
        return path.read_bytes()
