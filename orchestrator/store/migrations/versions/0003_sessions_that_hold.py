"""An index of the sessions that may count against a budget, so that counting them does not look at those that ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_sessions_that_hold"
down_revision = "0002_witness_and_drain"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "sessions_that_hold",
        "sessions",
        ["batch_id", "ends_at"],
        sqlite_where=sa.text("session_end <> 'confirmed'"),
        postgresql_where=sa.text("session_end <> 'confirmed'"),
    )
