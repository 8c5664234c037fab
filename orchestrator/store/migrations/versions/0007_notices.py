"""Notices of batches that closed, committed with their end and sent afterwards."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_notices"
down_revision = "0006_ramp"
branch_labels = None
depends_on = None

TIME = sa.String(32).with_variant(sa.DateTime(timezone=True), "postgresql")
CLOSED = "closed_at IS NOT NULL"
TO_SEND = "next_try_at IS NOT NULL"


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("notice_id", sa.String(64), primary_key=True),
        sa.Column("batch_id", sa.String(64), sa.ForeignKey("batches.batch_id"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("why", sa.JSON, nullable=False),
        sa.Column("batch_end", sa.String(16), nullable=False),
        sa.Column("before_end", sa.String(16)),
        sa.Column("before_batch_id", sa.String(64)),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("next_try_at", TIME),
        sa.Column("claimed_until", TIME),
        sa.Column("sent_at", TIME),
        sa.Column("given_up_at", TIME),
        sa.Column("last_error", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("notice_of_one_entry", "notices", ["batch_id", "position"], unique=True)
    op.create_index("notices_by_creation", "notices", ["created_at", "notice_id"])
    _create_partial("notices_to_send", "notices", ["next_try_at"], TO_SEND)
    _create_partial("closed_batches_by_name", "batches", ["name", "closed_at"], CLOSED)


def _create_partial(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
