"""Alembic runs this to migrate; the connection is handed in by `orchestrator.store.migration`."""

from __future__ import annotations

from alembic import context

from orchestrator.store.migration import VERSION_TABLE
from orchestrator.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # State files of before schema 0004 also hold the tables of a library that is no longer used: they are left alone.
    include_object=lambda _object, name, kind, _reflected, _compare: kind != "table" or name in metadata.tables,
)
context.run_migrations()
