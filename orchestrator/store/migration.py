"""Bringing the schema up to this version with Alembic; a schema from a newer version is refused, never changed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DatabaseError

from orchestrator.domain.errors import StateUnusable
from orchestrator.store.locks import lock_schema

VERSION_TABLE: Final = "orchestrator_version"
SCRIPTS: Final = Path(__file__).parent / "migrations"


def migrate(engine: Engine) -> None:
    """Upgrade to the newest schema this version knows; StateUnusable when the state is newer or cannot be read."""
    known = known_revisions()
    try:
        with engine.connect() as connection:
            current = _current(connection)
        if current == known[-1]:
            return
        if current is not None and current not in known:
            error = StateUnusable(
                f"the state was written by a newer version (schema {current}; this one knows {known[-1]})"
            )
            error.next_step = "Install that version, or point ORCHESTRATOR_DATABASE_URL at another file."
            raise error
        _upgrade(engine)
    except DatabaseError as error:
        raise StateUnusable(f"the state could not be opened: {error.orig}") from error


def known_revisions() -> tuple[str, ...]:
    """The schema revisions this version carries, oldest first; their file names sort in order."""
    return tuple(path.stem for path in sorted((SCRIPTS / "versions").glob("[0-9]*.py")))


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608  a constant


def _upgrade(engine: Engine) -> None:
    # Imported here: an up-to-date state does not need it, and it is slow to import.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            lock_schema(connection)  # another worker may be about to; where it was faster there is nothing left to do
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
