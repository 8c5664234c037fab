"""The tables, and the two column types that keep times in UTC and JSON readable."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
)

MAY_HOLD: Final = "session_end <> 'confirmed'"  # of sessions: what no longer counts against any budget is left out


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime as fixed-width ISO text in UTC, so that text order is time order; naive values are refused."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the store")
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From the database."""
        return None if value is None else datetime.fromisoformat(value)


metadata: Final = MetaData()

batches: Final = Table(
    "batches",
    metadata,
    Column("batch_id", String(64), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("document", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("speed", Float, nullable=False),
    Column("cancel_asked_at", UtcTime),
    Column("cancel_reason", Text, nullable=False),
    Column("cancel_drains", Boolean, nullable=False, server_default=false()),
    Column("refusal", Text, nullable=False),
    Column("outcome", String(16)),
    Column("closed_at", UtcTime),
    Index("batches_by_creation", "created_at"),
)

runs: Final = Table(
    "runs",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("batch_id", String(64), ForeignKey("batches.batch_id"), nullable=False),
    Column("index", Integer, nullable=False),
    Column("scenario_id", Integer, nullable=False),
    Column("scenario_position", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("outcome", String(16)),
    Column("reason", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("retries_used", Integer, nullable=False),
    Column("nonce", String(36)),
    Column("cekura_run_id", Integer),
    Column("cekura_result_id", Integer),
    Column("timeline", JSON, nullable=False),
    Index("runs_of_a_batch", "batch_id", "index"),
)

submissions: Final = Table(
    "submissions",
    metadata,
    Column("submission_id", String(36), primary_key=True),
    Column("batch_id", String(64), ForeignKey("batches.batch_id"), nullable=False),
    Column("status", String(16), nullable=False),
    Column("intended_at", UtcTime, nullable=False),
    Column("cekura_agent_id", Integer),
    Column("scenario_ids", JSON, nullable=False),
    Column("sent_at", UtcTime),
    Column("cekura_result_id", Integer),
    Column("note", Text, nullable=False),
    Index("submissions_of_a_batch", "batch_id"),
    Index(
        "result_of_one_submission", "cekura_result_id", unique=True, sqlite_where=text("cekura_result_id IS NOT NULL")
    ),
)

sessions: Final = Table(
    "sessions",
    metadata,
    Column("nonce", String(36), primary_key=True),
    Column("batch_id", String(64), ForeignKey("batches.batch_id"), nullable=False),
    Column("run_id", String(64), ForeignKey("runs.run_id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("agent_kind", String(32), nullable=False),
    Column("agent_address", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("intended_at", UtcTime, nullable=False),
    Column("ends_by", Text, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
    Column("room_expires_at", UtcTime, nullable=False),
    Column("sent_at", UtcTime),
    Column("answered_at", UtcTime),
    Column("session_id", Text),
    Column("room_url", Text),
    Column("meeting_token", Text),  # leaves the row as soon as the room was submitted or the session condemned
    Column("ready_at", UtcTime),
    Column("evidence", String(16)),
    Column("seen_in_room_at", UtcTime),
    Column("submission_id", String(36), ForeignKey("submissions.submission_id")),
    Column("cekura_run_id", Integer),
    Column("condemned_at", UtcTime),
    Column("condemned_for", Text, nullable=False),
    Column("teardown_from", UtcTime),
    Column("teardown_next", UtcTime),  # the reaper's claim: not before this time
    Column("teardown_tries", Integer, nullable=False),
    Column("session_end", String(16), nullable=False),
    Column("session_end_how", Text, nullable=False),
    Column("session_end_at", UtcTime),
    Column("room_end", String(16), nullable=False),
    Column("room_end_how", Text, nullable=False),
    Column("room_end_at", UtcTime),
    Column("room_seen_by", String(16)),  # the Daily key that was shown the room: only its 404 means that it is gone
    Column("settled", Boolean, nullable=False),  # both ends confirmed or bounded: nothing left to do
    Column("note", Text, nullable=False),
    Index("sessions_of_a_batch", "batch_id"),
    Index("sessions_to_tear_down", "settled", "teardown_from"),
    Index("sessions_by_room", "room_url"),
    Index("sessions_that_hold", "batch_id", "ends_at", sqlite_where=text(MAY_HOLD)),
    Index(
        "session_of_one_row",
        "agent_address",
        "session_id",
        unique=True,
        sqlite_where=text("session_id IS NOT NULL"),
    ),
)
