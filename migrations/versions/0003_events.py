"""DR events, VENs to be erased, answers to repeat, and the indexes that events are looked up by."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE events (
        event_id text PRIMARY KEY,
        start_time timestamptz NOT NULL,
        end_time timestamptz NOT NULL,
        requested_reduction_kw double precision NOT NULL,
        ven_ids text[],
        created_at timestamptz NOT NULL DEFAULT now(),
        started_at timestamptz,
        ended_at timestamptz,
        cancelled_at timestamptz,
        deleted_at timestamptz,
        actual_reduction_kw double precision,
        figured_at timestamptz
    )
    """,
    "CREATE INDEX events_start_time ON events (start_time, event_id)",
    """
    CREATE TABLE ven_removals (
        ven_id text PRIMARY KEY,
        removed_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE idempotency_keys (
        path text NOT NULL,
        key text NOT NULL,
        digest text NOT NULL,
        status integer,
        body text,
        location text,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (path, key)
    )
    """,
    "CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at)",
    "CREATE INDEX commands_ven_id ON commands (ven_id, created_at)",
    "CREATE INDEX commands_event_id ON commands (event_id)",
    "CREATE INDEX ven_status_event_id ON ven_status (event_id) WHERE event_id IS NOT NULL",
    # Readings without an event, which are almost all, are not in it and cost nothing.
    """
    CREATE INDEX telemetry_readings_event_id ON telemetry_readings (event_id, ven_id, "time")
    WHERE event_id IS NOT NULL
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for index in ("telemetry_readings_event_id", "ven_status_event_id", "commands_event_id", "commands_ven_id"):
        op.execute(f"DROP INDEX {index}")
    for table in ("idempotency_keys", "ven_removals", "events"):
        op.execute(f"DROP TABLE {table}")
