"""What the state file says, read from outside with nothing of the product's: SQLite, read only."""

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows as they were found; all empty where there is no state yet."""

    batches: tuple[dict[str, Any], ...] = ()
    runs: tuple[dict[str, Any], ...] = ()
    sessions: tuple[dict[str, Any], ...] = ()
    submissions: tuple[dict[str, Any], ...] = ()
    states: dict[str, Counter] = field(default_factory=dict)

    def __str__(self):
        named = (
            (table, ", ".join(f"{state} {count}" for state, count in self.states[table].items())) for table in TABLES
        )
        return "; ".join(f"{table}: {states}" for table, states in named if states) or "none"


TABLES = ("runs", "sessions", "submissions")


def read_rows(path):
    """The rows in the file at `path` now; a dead process's last commit is in them."""
    if not path.exists():
        return _rows({})
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        known = {row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        wanted = ("batches", *TABLES)
        return _rows({table: _all(connection, table) for table in wanted if table in known})


def _all(connection, table):
    return tuple(dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY rowid"))


def _rows(tables):
    found = {table: tables.get(table, ()) for table in ("batches", *TABLES)}
    return Rows(**found, states={table: Counter(row["status"] for row in found[table]) for table in TABLES})
