"""The state in PostgreSQL, where many workers share it.

Each process has one writing connection, as with SQLite: units of work are committed together. Statements run under READ
COMMITTED, so whatever must be decided once is one conditional statement, with a constraint or a row lock behind it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL

from orchestrator.store.budget import forget_held

CONNECT_SECONDS: Final = 5
STATEMENT_MS: Final = 30_000
LOCK_MS: Final = 10_000
IDLE_MS: Final = 2_000  # between two statements: a worker frozen there would keep its locks, also that of its own lease
READERS: Final = 2


def driver_url(url: URL) -> URL:
    """The URL with the driver we use, whichever was named."""
    return url.set(drivername="postgresql+psycopg")


def place_of(url: URL) -> str:
    """How messages and marks name this state: without user and password."""
    host = url.host or str(url.query.get("host", "localhost"))
    return f"postgresql://{host}:{url.port or 5432}/{url.database or ''}"


def writing_engine(url: URL) -> Engine:
    """For the one writer of a process."""
    engine = _engine(url)
    event.listen(engine, "rollback", forget_held)
    return engine


def reading_engine(url: URL) -> Engine:
    """For readers. A connection that a restarted server dropped is noticed before it is used."""
    return _engine(url, readers=READERS)


def _engine(url: URL, *, readers: int = 0) -> Engine:
    options = f"-c statement_timeout={STATEMENT_MS} -c lock_timeout={LOCK_MS} -c timezone=UTC"
    options += f" -c idle_in_transaction_session_timeout={IDLE_MS}"
    if readers:
        options += " -c default_transaction_read_only=on"
    return create_engine(
        driver_url(url),
        connect_args={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "orchestrator",
            "options": options,
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
        },
        pool_size=readers or 1,
        max_overflow=0,
        pool_pre_ping=bool(readers),
        isolation_level="AUTOCOMMIT" if readers else "READ COMMITTED",
        hide_parameters=True,
    )
