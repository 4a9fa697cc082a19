"""The registry, readings with their loads by day, faults by day, and the latest of each VEN."""

from datetime import UTC, datetime, timedelta

from alembic import op

from schemas.tables.partitioning import create_partition

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PARTITIONED = ("telemetry_readings", "telemetry_loads", "ven_faults")
DAYS_AHEAD = 7

STATEMENTS = (
    """
    CREATE TABLE vens (
        ven_id text PRIMARY KEY,
        name text NOT NULL,
        latitude double precision NOT NULL DEFAULT 0,
        longitude double precision NOT NULL DEFAULT 0,
        status text NOT NULL DEFAULT 'offline',
        status_set_at timestamptz NOT NULL DEFAULT '-infinity',
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE telemetry_readings (
        ven_id text NOT NULL,
        "time" timestamptz NOT NULL,
        received_at timestamptz NOT NULL,
        used_power_kw double precision,
        shed_power_kw double precision,
        requested_reduction_kw double precision,
        baseline_power_kw double precision,
        battery_soc double precision,
        panel_amperage_rating double precision,
        panel_voltage double precision,
        panel_max_kw double precision,
        current_amps double precision,
        panel_utilization_percent double precision,
        message_num bigint,
        event_id text,
        extra jsonb,
        PRIMARY KEY (ven_id, "time")
    ) PARTITION BY RANGE ("time")
    """,
    """
    CREATE TABLE telemetry_loads (
        ven_id text NOT NULL,
        "time" timestamptz NOT NULL,
        load_id text NOT NULL,
        capacity_kw double precision,
        current_power_kw double precision,
        shed_capability_kw double precision,
        priority integer,
        enabled boolean NOT NULL,
        name text,
        type text,
        extra jsonb,
        PRIMARY KEY (ven_id, "time", load_id)
    ) PARTITION BY RANGE ("time")
    """,
    """
    CREATE TABLE ven_faults (
        ven_id text NOT NULL,
        "time" timestamptz NOT NULL,
        received_at timestamptz NOT NULL,
        error text NOT NULL,
        PRIMARY KEY (ven_id, "time")
    ) PARTITION BY RANGE ("time")
    """,
    # Rewritten with every batch: free space on each page lets an update stay on it and leave the index alone.
    """
    CREATE TABLE ven_status (
        ven_id text PRIMARY KEY,
        received_at timestamptz NOT NULL,
        reading_received_at timestamptz,
        measured_at timestamptz,
        used_power_kw double precision,
        shed_power_kw double precision,
        requested_reduction_kw double precision,
        battery_soc double precision,
        event_id text,
        loads_measured_at timestamptz,
        loads jsonb
    ) WITH (fillfactor = 50)
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
    for table in (*PARTITIONED, "ven_status", "vens"):
        op.execute(f"DROP TABLE {table}")
