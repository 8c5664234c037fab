"""What a long-running service needs: workers that own batches, schedules and their fires, pools, tokens, an audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_service"
down_revision = "0003_sessions_that_hold"
branch_labels = None
depends_on = None

TIME = sa.String(32).with_variant(sa.DateTime(timezone=True), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
WITH_CEKURA = "cekura_run_id IS NOT NULL"
QUEUED = "decision = 'queued'"
OF_SCHEDULES = "status = 'open' AND schedule IS NOT NULL"
POOL_HOLDS = "pool IS NOT NULL AND session_end <> 'confirmed'"
POOL_LEFT = "pool IS NOT NULL AND NOT settled"
IN_POOL = "pool IS NOT NULL AND run_id IS NULL AND condemned_at IS NULL"
MAY_HOLD = "session_end <> 'confirmed'"
AT_WORK = "condemned_at IS NULL AND status <> 'refused'"
BEING_JUDGED = "status = 'call_ended'"
KEPT = "the audit is append-only"


def upgrade() -> None:
    op.add_column("batches", sa.Column("owner", sa.String(64)))
    op.add_column("batches", sa.Column("origin", sa.String(16), nullable=False, server_default="command"))
    op.add_column("batches", sa.Column("client_key", sa.String(128)))
    op.add_column("batches", sa.Column("schedule", sa.String(80)))
    op.add_column("batches", sa.Column("poked_at", TIME))
    op.create_index("batch_of_one_client_key", "batches", ["client_key"], unique=True)
    op.drop_index("batches_by_creation", "batches")
    for name, filtered in (("creation", []), ("status", ["status"]), ("name", ["name"]), ("origin", ["origin"])):
        op.create_index(f"batches_by_{name}", "batches", [*filtered, "created_at", "batch_id"])
    op.create_index("batches_of_a_schedule", "batches", ["schedule", "created_at", "batch_id"])
    _create_partial("open_batches_of_schedules", "batches", ["schedule"], OF_SCHEDULES)
    op.add_column("runs", sa.Column("revision", sa.Integer, nullable=False, server_default="0"))
    op.create_index("runs_by_revision", "runs", ["batch_id", "revision"])
    _create_partial("runs_being_judged", "runs", ["status"], BEING_JUDGED)
    _create_partial("runs_by_cekura_run", "runs", ["cekura_run_id"], WITH_CEKURA)
    _change_sessions()
    _create_workers()
    _create_schedules()
    _create_pools()
    _create_access()
    _keep_audit()


def _change_sessions() -> None:
    with op.batch_alter_table("sessions") as sessions:  # SQLite can only copy the table
        sessions.alter_column("batch_id", existing_type=sa.String(64), nullable=True)
        sessions.alter_column("run_id", existing_type=sa.String(64), nullable=True)
        sessions.add_column(sa.Column("pool", sa.String(80)))
        sessions.add_column(sa.Column("fit_until", TIME))
        sessions.add_column(sa.Column("checked_at", TIME))
        sessions.add_column(sa.Column("taken_at", TIME))
    _create_partial("sessions_by_bound", "sessions", ["ends_at"], MAY_HOLD)
    _create_partial("sessions_at_work", "sessions", ["submission_id"], AT_WORK)
    _create_partial("sessions_that_wait", "sessions", ["pool"], IN_POOL)
    op.drop_index("sessions_of_a_batch", "sessions")
    op.create_index("sessions_of_a_batch", "sessions", ["batch_id", "intended_at", "nonce"])
    op.create_index("sessions_by_intent", "sessions", ["intended_at", "nonce"])
    _create_partial("sessions_by_id", "sessions", ["session_id"], "session_id IS NOT NULL")
    _create_partial("sessions_of_a_pool", "sessions", ["pool", "intended_at", "nonce"], "pool IS NOT NULL")
    _create_partial("sessions_pools_hold", "sessions", ["pool", "ends_at"], POOL_HOLDS)
    _create_partial("sessions_pools_left", "sessions", ["pool"], POOL_LEFT)


def _create_partial(name: str, table: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


def _create_workers() -> None:
    op.create_table(
        "workers",
        sa.Column("worker_id", sa.String(64), primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("lease_until", TIME, nullable=False),
        sa.Column("serves", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("gone_at", TIME),
        sa.Column("fenced_at", TIME),
        sa.Column("fenced_by", sa.String(64)),
    )
    op.create_index("workers_by_lease", "workers", ["lease_until"])


def _create_schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("considered_until", TIME, nullable=False),
        sa.Column("paused_at", TIME),
        sa.Column("paused_by", sa.String(128)),
        sa.Column("removed_at", TIME),
    )
    op.create_table(
        "fires",
        sa.Column("fire_id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("schedule", sa.String(80), sa.ForeignKey("schedules.name"), nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("decided_at", TIME, nullable=False),
        sa.Column("batch_id", sa.String(64), sa.ForeignKey("batches.batch_id")),
        sa.Column("manual", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("client_key", sa.String(128)),
    )
    op.create_index("fire_of_one_client_key", "fires", ["schedule", "client_key"], unique=True)
    op.create_index("fire_of_one_moment", "fires", ["schedule", "due_at"], unique=True)
    _create_partial("fires_that_wait", "fires", ["schedule"], QUEUED)


def _create_pools() -> None:
    op.create_table(
        "pools",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("document", sa.JSON, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("owner", sa.String(64)),
        sa.Column("trouble", sa.Text, nullable=False, server_default=""),
        sa.Column("paused_at", TIME),
        sa.Column("paused_by", sa.String(128)),
        sa.Column("removed_at", TIME),
    )


def _create_access() -> None:
    op.create_table(
        "access_tokens",
        sa.Column("token_id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.Column("last_used_at", TIME),
    )
    _create_partial("token_of_one_name", "access_tokens", ["name"], "revoked_at IS NULL", unique=True)
    op.create_table(
        "audit",
        sa.Column("entry_id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.String(128), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
    )
    op.create_index("audit_of_a_target", "audit", ["target", "entry_id"])
    op.create_index("audit_of_an_actor", "audit", ["actor", "entry_id"])


def _keep_audit() -> None:
    """What was written stays, whoever writes SQL here one day."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_refuses_{verb.lower()} BEFORE {verb} ON audit "
                f"BEGIN SELECT RAISE(ABORT, '{KEPT}'); END"
            )
        op.execute(  # INSERT OR REPLACE removes a row without asking the trigger above
            "CREATE TRIGGER audit_refuses_replace BEFORE INSERT ON audit "
            "WHEN EXISTS (SELECT 1 FROM audit WHERE entry_id = NEW.entry_id) "
            f"BEGIN SELECT RAISE(ABORT, '{KEPT}'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{KEPT}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept()"
    )
