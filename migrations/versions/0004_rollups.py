"""Rollups: each VEN by minute and by hour, the network by bucket, and how far they have come."""

from datetime import UTC, datetime, timedelta

from alembic import op

from schemas.tables.partitioning import create_partition

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PARTITIONED = ("telemetry_minutes", "telemetry_hours", "network_buckets")
DAYS_AHEAD = 7

_LEVEL = """
    CREATE TABLE {table} (
        ven_id text NOT NULL,
        "time" timestamptz NOT NULL,
        samples integer NOT NULL,
        used_samples integer NOT NULL,
        used_sum double precision NOT NULL,
        used_min double precision,
        used_max double precision,
        shed_samples integer NOT NULL,
        shed_sum double precision NOT NULL,
        shed_min double precision,
        shed_max double precision,
        event_id text,
        requested_reduction_kw double precision,
        PRIMARY KEY (ven_id, "time")
    ) PARTITION BY RANGE ("time")
"""

STATEMENTS = (
    # The rows of a minute, of all VENs, lie together on disk: a BRIN index finds them and costs next to nothing.
    'CREATE INDEX telemetry_readings_time ON telemetry_readings USING brin ("time") WITH (pages_per_range = 16)',
    _LEVEL.format(table="telemetry_minutes"),
    'CREATE INDEX telemetry_minutes_time ON telemetry_minutes USING brin ("time") WITH (pages_per_range = 16)',
    _LEVEL.format(table="telemetry_hours"),
    'CREATE INDEX telemetry_hours_time ON telemetry_hours USING brin ("time") WITH (pages_per_range = 16)',
    """
    CREATE TABLE network_buckets (
        granularity text NOT NULL,
        "time" timestamptz NOT NULL,
        used_power_kw double precision,
        shed_power_kw double precision,
        vens integer NOT NULL,
        PRIMARY KEY (granularity, "time")
    ) PARTITION BY RANGE ("time")
    """,
    # One row. Readings before `late_before` are noted by the sink as they come, and those before `rolled_up_to` are in.
    """
    CREATE TABLE rollup_progress (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        late_before timestamptz NOT NULL,
        rolled_up_to timestamptz NOT NULL
    )
    """,
    """
    INSERT INTO rollup_progress (late_before, rolled_up_to)
    SELECT begun, begun
    FROM (SELECT date_bin('1 hour', COALESCE(min("time"), now()), 'epoch') AS begun FROM telemetry_readings) AS oldest
    """,
    """
    CREATE TABLE rollup_late (
        ven_id text NOT NULL,
        "time" timestamptz NOT NULL,
        noted_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (ven_id, "time")
    )
    """,
    """
    CREATE TABLE network_stale (
        granularity text NOT NULL,
        "time" timestamptz NOT NULL,
        PRIMARY KEY (granularity, "time")
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    today = datetime.now(UTC).date()
    for table in PARTITIONED:
        for offset in range(-1, DAYS_AHEAD + 1):
            for statement in create_partition(table, today + timedelta(days=offset)):
                op.execute(statement)


def downgrade() -> None:
    for table in (*PARTITIONED, "rollup_progress", "rollup_late", "network_stale"):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP INDEX telemetry_readings_time")
