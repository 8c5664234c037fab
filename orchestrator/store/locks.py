"""What must be said apart where many workers write: who may go first, and what may have been written already.

With SQLite there is one writer, and none of it is needed.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError

SCHEMA_LOCK: Final = 6_201_001  # of `pg_advisory_xact_lock`: whoever migrates
BUDGET_LOCK: Final = 6_201_002  # whoever counts what all workers share
DEFINITIONS_LOCK: Final = 6_201_003  # whoever makes schedules and pools
# Serialization failure and deadlock: the database undid the transaction, and asks for it to be run again.
ASKED_AGAIN: Final = frozenset({"40001", "40P01"})


def lock_schema(connection: Connection) -> None:
    """Let no two processes migrate at once; freed with the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": SCHEMA_LOCK})


def lock_budget(connection: Connection) -> None:
    """Let one worker at a time count what all share; freed with the transaction. Nothing on SQLite: one writer."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": BUDGET_LOCK})


def lock_definitions(connection: Connection) -> None:
    """Let no two make schedules or pools at once; freed with the transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": DEFINITIONS_LOCK})


def may_be_rerun(connection: Connection) -> bool:
    """Whether a commit may have been made whose answer was lost, so that a unit finds its own rows when run again."""
    return connection.dialect.name == "postgresql"


def asks_again(error: BaseException) -> bool:
    """Whether the database undid a transaction only because others were in its way."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in ASKED_AGAIN


def lost_its_connection(error: BaseException) -> bool:
    """Whether the database ended the connection: it restarts, or we let it wait too long between two statements."""
    invalidated = isinstance(error, DBAPIError) and error.connection_invalidated
    return invalidated or isinstance(error, PendingRollbackError)  # the second is what statements after the first get
