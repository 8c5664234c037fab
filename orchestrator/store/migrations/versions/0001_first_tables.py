"""The first tables: batches, runs, submissions, sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_first_tables"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.String(32).with_variant(sa.DateTime(timezone=True), "postgresql")
ID = sa.BigInteger


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("batch_id", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("speed", sa.Float, nullable=False),
        sa.Column("cancel_asked_at", TIME),
        sa.Column("cancel_reason", sa.Text, nullable=False),
        sa.Column("refusal", sa.Text, nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("closed_at", TIME),
    )
    op.create_index("batches_by_creation", "batches", ["created_at"])
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("batch_id", sa.String(64), sa.ForeignKey("batches.batch_id"), nullable=False),
        sa.Column("index", sa.Integer, nullable=False),
        sa.Column("scenario_id", ID, nullable=False),
        sa.Column("scenario_position", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("retries_used", sa.Integer, nullable=False),
        sa.Column("nonce", sa.String(36)),
        sa.Column("cekura_run_id", ID),
        sa.Column("cekura_result_id", ID),
        sa.Column("timeline", sa.JSON, nullable=False),
    )
    op.create_index("runs_of_a_batch", "runs", ["batch_id", "index"])
    op.create_table(
        "submissions",
        sa.Column("submission_id", sa.String(36), primary_key=True),
        sa.Column("batch_id", sa.String(64), sa.ForeignKey("batches.batch_id"), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("intended_at", TIME, nullable=False),
        sa.Column("cekura_agent_id", ID),
        sa.Column("scenario_ids", sa.JSON, nullable=False),
        sa.Column("sent_at", TIME),
        sa.Column("cekura_result_id", ID),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_index("submissions_of_a_batch", "submissions", ["batch_id"])
    op.create_index(
        "result_of_one_submission",
        "submissions",
        ["cekura_result_id"],
        unique=True,
        sqlite_where=sa.text("cekura_result_id IS NOT NULL"),
        postgresql_where=sa.text("cekura_result_id IS NOT NULL"),
    )
    op.create_table(
        "sessions",
        sa.Column("nonce", sa.String(36), primary_key=True),
        sa.Column("batch_id", sa.String(64), sa.ForeignKey("batches.batch_id"), nullable=False),
        sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.run_id"), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("agent_kind", sa.String(32), nullable=False),
        sa.Column("agent_address", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("intended_at", TIME, nullable=False),
        sa.Column("ends_by", sa.Text, nullable=False),
        sa.Column("ends_at", TIME, nullable=False),
        sa.Column("room_expires_at", TIME, nullable=False),
        sa.Column("sent_at", TIME),
        sa.Column("answered_at", TIME),
        sa.Column("session_id", sa.Text),
        sa.Column("room_url", sa.Text),
        sa.Column("meeting_token", sa.Text),
        sa.Column("ready_at", TIME),
        sa.Column("evidence", sa.String(16)),
        sa.Column("seen_in_room_at", TIME),
        sa.Column("submission_id", sa.String(36), sa.ForeignKey("submissions.submission_id")),
        sa.Column("cekura_run_id", ID),
        sa.Column("condemned_at", TIME),
        sa.Column("condemned_for", sa.Text, nullable=False),
        sa.Column("teardown_from", TIME),
        sa.Column("teardown_next", TIME),
        sa.Column("teardown_tries", sa.Integer, nullable=False),
        sa.Column("session_end", sa.String(16), nullable=False),
        sa.Column("session_end_how", sa.Text, nullable=False),
        sa.Column("session_end_at", TIME),
        sa.Column("room_end", sa.String(16), nullable=False),
        sa.Column("room_end_how", sa.Text, nullable=False),
        sa.Column("room_end_at", TIME),
        sa.Column("settled", sa.Boolean, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_index("sessions_of_a_batch", "sessions", ["batch_id"])
    op.create_index("sessions_to_tear_down", "sessions", ["settled", "teardown_from"])
    op.create_index("sessions_by_room", "sessions", ["room_url"])
    op.create_index(
        "session_of_one_row",
        "sessions",
        ["agent_address", "session_id"],
        unique=True,
        sqlite_where=sa.text("session_id IS NOT NULL"),
        postgresql_where=sa.text("session_id IS NOT NULL"),
    )
