"""Why and when a batch's ramp was stopped before its end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_ramp"
down_revision = "0005_channels"
branch_labels = None
depends_on = None

TIME = sa.String(32).with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.add_column("batches", sa.Column("stopped", sa.Text, nullable=False, server_default=""))
    op.add_column("batches", sa.Column("stopped_at", TIME))
