"""Automated channels: a submission that bears a name and carries runs without a session; links that share results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_channels"
down_revision = "0004_service"
branch_labels = None
depends_on = None

CARRIED = "submission_id IS NOT NULL AND status IN ('planned', 'submitted', 'in_call')"


def upgrade() -> None:
    op.add_column("runs", sa.Column("submission_id", sa.String(36)))
    op.add_column("runs", sa.Column("personality_id", sa.BigInteger))
    op.add_column("runs", sa.Column("test_profile_id", sa.BigInteger))
    where = sa.text(CARRIED)
    op.create_index("runs_carried", "runs", ["submission_id"], sqlite_where=where, postgresql_where=where)
    op.add_column("submissions", sa.Column("name", sa.Text, nullable=False, server_default=""))
    op.add_column("submissions", sa.Column("calls", sa.Integer))
    op.add_column("submissions", sa.Column("shared_url", sa.Text))
