"""The tables, and the column type that keeps times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
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
from sqlalchemy.types import TypeEngine

MAY_HOLD: Final = "session_end <> 'confirmed'"  # of sessions: what no longer counts against any budget is left out
BEING_JUDGED: Final = "status = 'call_ended'"  # of runs
AT_WORK: Final = "condemned_at IS NULL AND status <> 'refused'"  # of sessions: coming, called, or waiting in a pool
WITH_CEKURA: Final = "cekura_run_id IS NOT NULL"  # of runs: what Cekura was given
CARRIED: Final = "submission_id IS NOT NULL AND status IN ('planned', 'submitted', 'in_call')"
QUEUED: Final = "decision = 'queued'"  # of fires: those that wait
OF_SCHEDULES: Final = "status = 'open' AND schedule IS NOT NULL"  # of batches: those a fire may wait for
IN_POOL: Final = "pool IS NOT NULL AND run_id IS NULL AND condemned_at IS NULL"  # of sessions: warm, and of no run yet

OF_POOL: Final = "pool IS NOT NULL"
POOL_HOLDS: Final = f"{OF_POOL} AND {MAY_HOLD}"
POOL_LEFT: Final = f"{OF_POOL} AND NOT settled"  # of sessions: what its pool still has to do with
HAS_ID: Final = "session_id IS NOT NULL"
UNREVOKED: Final = "revoked_at IS NULL"
CLOSED: Final = "closed_at IS NOT NULL"
TO_SEND: Final = "next_try_at IS NOT NULL"  # of notices: neither sent nor given up


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; naive values are refused.

    PostgreSQL has a type for it. SQLite has none: there it is ISO text of fixed width, whose order is that of time.
    """

    impl = String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """What the database keeps."""
        kept: TypeEngine[Any] = DateTime(timezone=True) if dialect.name == "postgresql" else String(32)
        return dialect.type_descriptor(kept)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the store")
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From the database."""
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        moment: datetime | None = value
        return None if moment is None else moment.astimezone(UTC)


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
    Column("owner", String(64)),  # the worker that drives it; None while it waits for one
    Column("origin", String(16), nullable=False, server_default="command"),
    Column("client_key", String(128)),  # whoever asks twice with one key gets one batch
    Column("schedule", String(80)),
    Column("poked_at", UtcTime),  # somebody heard that Cekura has news of it: the next poll may come at once
    Column("stopped", Text, nullable=False, server_default=""),  # why its ramp was stopped before its end
    Column("stopped_at", UtcTime),
    Index("batch_of_one_client_key", "client_key", unique=True),
    # Each list in its order, so that a page of it is read from where the last one ended.
    Index("batches_by_creation", "created_at", "batch_id"),
    Index("batches_by_status", "status", "created_at", "batch_id"),
    Index("batches_by_name", "name", "created_at", "batch_id"),
    Index("batches_by_origin", "origin", "created_at", "batch_id"),
    Index("batches_of_a_schedule", "schedule", "created_at", "batch_id"),
    Index("closed_batches_by_name", "name", "closed_at", sqlite_where=text(CLOSED), postgresql_where=text(CLOSED)),
    Index(
        "open_batches_of_schedules", "schedule", sqlite_where=text(OF_SCHEDULES), postgresql_where=text(OF_SCHEDULES)
    ),
)

runs: Final = Table(
    "runs",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("batch_id", String(64), ForeignKey("batches.batch_id"), nullable=False),
    Column("index", Integer, nullable=False),
    Column("scenario_id", BigInteger, nullable=False),
    Column("scenario_position", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("outcome", String(16)),
    Column("reason", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("retries_used", Integer, nullable=False),
    Column("nonce", String(36)),
    Column("cekura_run_id", BigInteger),
    Column("cekura_result_id", BigInteger),
    Column("timeline", JSON, nullable=False),
    Column("submission_id", String(36)),  # on an automated channel: what carries it to Cekura
    Column("personality_id", BigInteger),
    Column("test_profile_id", BigInteger),
    Column("revision", Integer, nullable=False, server_default="0"),  # grows with each change of any run of the batch
    Index("runs_of_a_batch", "batch_id", "index"),
    Index("runs_by_revision", "batch_id", "revision"),
    Index("runs_being_judged", "status", sqlite_where=text(BEING_JUDGED), postgresql_where=text(BEING_JUDGED)),
    # Those that hold, or may hold, calls of a submission of an automated channel.
    Index("runs_carried", "submission_id", sqlite_where=text(CARRIED), postgresql_where=text(CARRIED)),
    Index("runs_by_cekura_run", "cekura_run_id", sqlite_where=text(WITH_CEKURA), postgresql_where=text(WITH_CEKURA)),
)

submissions: Final = Table(
    "submissions",
    metadata,
    Column("submission_id", String(36), primary_key=True),
    Column("batch_id", String(64), ForeignKey("batches.batch_id"), nullable=False),
    Column("status", String(16), nullable=False),
    Column("intended_at", UtcTime, nullable=False),
    Column("cekura_agent_id", BigInteger),
    Column("scenario_ids", JSON, nullable=False),
    Column("sent_at", UtcTime),
    Column("cekura_result_id", BigInteger),
    Column("note", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=""),  # on an automated channel: a lost answer is found by it
    Column("calls", Integer),  # there: how many of its calls there are at once, at most
    Column("shared_url", Text),  # whoever knows it may read the result
    Index("submissions_of_a_batch", "batch_id"),
    Index(
        "result_of_one_submission",
        "cekura_result_id",
        unique=True,
        sqlite_where=text("cekura_result_id IS NOT NULL"),
        postgresql_where=text("cekura_result_id IS NOT NULL"),
    ),
)

sessions: Final = Table(
    "sessions",
    metadata,
    Column("nonce", String(36), primary_key=True),
    Column("batch_id", String(64), ForeignKey("batches.batch_id")),  # None while it waits in a pool
    Column("run_id", String(64), ForeignKey("runs.run_id")),
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
    Column("cekura_run_id", BigInteger),
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
    Column("pool", String(80)),  # the pool that started it, also after a run took it
    Column("fit_until", UtcTime),  # in a pool: how long it may still be given to a run
    Column("checked_at", UtcTime),  # in a pool: when it was last seen alive
    Column("taken_at", UtcTime),  # in a pool: when a run took it, and it no longer waited at the pool's cost
    Index("sessions_of_a_batch", "batch_id", "intended_at", "nonce"),
    Index("sessions_by_intent", "intended_at", "nonce"),
    Index("sessions_by_id", "session_id", sqlite_where=text(HAS_ID), postgresql_where=text(HAS_ID)),
    Index(
        "sessions_of_a_pool", "pool", "intended_at", "nonce", sqlite_where=text(OF_POOL), postgresql_where=text(OF_POOL)
    ),
    Index("sessions_pools_hold", "pool", "ends_at", sqlite_where=text(POOL_HOLDS), postgresql_where=text(POOL_HOLDS)),
    Index("sessions_pools_left", "pool", sqlite_where=text(POOL_LEFT), postgresql_where=text(POOL_LEFT)),
    Index("sessions_to_tear_down", "settled", "teardown_from"),
    Index("sessions_by_room", "room_url"),
    Index("sessions_that_hold", "batch_id", "ends_at", sqlite_where=text(MAY_HOLD), postgresql_where=text(MAY_HOLD)),
    Index("sessions_by_bound", "ends_at", sqlite_where=text(MAY_HOLD), postgresql_where=text(MAY_HOLD)),
    Index("sessions_at_work", "submission_id", sqlite_where=text(AT_WORK), postgresql_where=text(AT_WORK)),
    Index("sessions_that_wait", "pool", sqlite_where=text(IN_POOL), postgresql_where=text(IN_POOL)),
    Index(
        "session_of_one_row",
        "agent_address",
        "session_id",
        unique=True,
        sqlite_where=text(HAS_ID),
        postgresql_where=text(HAS_ID),
    ),
)

workers: Final = Table(
    "workers",
    metadata,
    Column("worker_id", String(64), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(32), nullable=False),
    Column("started_at", UtcTime, nullable=False),
    Column("lease_until", UtcTime, nullable=False),  # by the database's clock
    Column("serves", Boolean, nullable=False, server_default=false()),  # it goes on with what others leave
    Column("gone_at", UtcTime),  # it left in good order
    Column("fenced_at", UtcTime),  # its lease ran out, and another worker took what it held
    Column("fenced_by", String(64)),
    Index("workers_by_lease", "lease_until"),
)

schedules: Final = Table(
    "schedules",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("document", JSON, nullable=False),
    Column("source", String(16), nullable=False),  # config or api: whoever made it may change it
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("considered_until", UtcTime, nullable=False),  # every occurrence up to here was decided
    Column("paused_at", UtcTime),
    Column("paused_by", String(128)),
    Column("removed_at", UtcTime),
)

fires: Final = Table(
    "fires",
    metadata,
    Column("fire_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("schedule", String(80), ForeignKey("schedules.name"), nullable=False),
    Column("due_at", UtcTime, nullable=False),
    Column("decision", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("decided_at", UtcTime, nullable=False),
    Column("batch_id", String(64), ForeignKey("batches.batch_id")),
    Column("manual", Boolean, nullable=False, server_default=false()),
    Column("client_key", String(128)),  # of a manual one: whoever asks twice with one key gets one fire
    Index("fire_of_one_client_key", "schedule", "client_key", unique=True),
    Index("fire_of_one_moment", "schedule", "due_at", unique=True),
    Index("fires_that_wait", "schedule", sqlite_where=text(QUEUED), postgresql_where=text(QUEUED)),
)

pools: Final = Table(
    "pools",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("document", JSON, nullable=False),
    Column("source", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("owner", String(64)),  # the worker that keeps it filled
    Column("trouble", Text, nullable=False, server_default=""),  # why it is not filled, in the words of its owner
    Column("paused_at", UtcTime),
    Column("paused_by", String(128)),
    Column("removed_at", UtcTime),
)

access_tokens: Final = Table(
    "access_tokens",
    metadata,
    Column("token_id", String(16), primary_key=True),
    Column("name", String(80), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),  # SHA-256 of the token, which nobody keeps
    Column("scopes", JSON, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("revoked_at", UtcTime),
    Column("last_used_at", UtcTime),
    Index("token_of_one_name", "name", unique=True, sqlite_where=text(UNREVOKED), postgresql_where=text(UNREVOKED)),
)

audit: Final = Table(
    "audit",
    metadata,
    Column("entry_id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", String(128), nullable=False),
    Column("detail", JSON, nullable=False),
    Index("audit_of_a_target", "target", "entry_id"),
    Index("audit_of_an_actor", "actor", "entry_id"),
)

notices: Final = Table(
    "notices",
    metadata,
    Column("notice_id", String(64), primary_key=True),  # what receivers know a repeat by
    Column("batch_id", String(64), ForeignKey("batches.batch_id"), nullable=False),
    Column("position", Integer, nullable=False),  # of its entry in the plan's notifications
    Column("kind", String(16), nullable=False),
    Column("why", JSON, nullable=False),
    Column("batch_end", String(16), nullable=False),
    Column("before_end", String(16)),
    Column("before_batch_id", String(64)),
    Column("created_at", UtcTime, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_try_at", UtcTime),  # None once it is sent or given up
    Column("claimed_until", UtcTime),  # somebody is sending it
    Column("sent_at", UtcTime),
    Column("given_up_at", UtcTime),
    Column("last_error", Text, nullable=False, server_default=""),
    Index("notice_of_one_entry", "batch_id", "position", unique=True),
    Index("notices_by_creation", "created_at", "notice_id"),
    Index("notices_to_send", "next_try_at", sqlite_where=text(TO_SEND), postgresql_where=text(TO_SEND)),
)
