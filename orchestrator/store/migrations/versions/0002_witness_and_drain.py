"""Which Daily key has seen a session's room, and whether a cancelled batch lets its calls finish."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_witness_and_drain"
down_revision = "0001_first_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("room_seen_by", sa.String(16)))
    op.add_column("batches", sa.Column("cancel_drains", sa.Boolean, nullable=False, server_default=sa.false()))
