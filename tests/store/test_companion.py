"""The durable engine asks `unixepoch('subsec')` of whatever SQLite this Python was built with."""

import time

from orchestrator.store.companion import connection_options


def test_its_clock_in_milliseconds_is_known_to_every_sqlite(tmp_path):
    connection = connection_options(tmp_path / "state.db")["creator"]()
    connection.execute("CREATE TABLE t (x INTEGER, at INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000))")
    connection.execute("INSERT INTO t (x) VALUES (1)")
    (at,) = connection.execute("SELECT at FROM t").fetchone()
    connection.close()
    assert abs(at - time.time() * 1000) < 5000
