"""Live totals as they were, minutes that are told to the log, and which disabled VENs the log knows of."""

from datetime import UTC, datetime, timedelta

from alembic import op

from schemas.tables.partitioning import create_partition

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

DAYS_AHEAD = 7

STATEMENTS = (
    """
    CREATE TABLE network_stats (
        "time" timestamptz NOT NULL,
        as_of timestamptz NOT NULL,
        online_vens integer NOT NULL,
        household_usage_kw double precision NOT NULL,
        current_load_reduction_kw double precision NOT NULL,
        controllable_power_kw double precision NOT NULL,
        potential_load_reduction_kw double precision NOT NULL,
        load_types jsonb NOT NULL,
        PRIMARY KEY ("time")
    ) PARTITION BY RANGE ("time")
    """,
    # Grows with each time that a minute is computed, so that of two versions of one the later has the higher.
    "CREATE SEQUENCE telemetry_minute_versions",
    # No default: that would write all rows again.
    "ALTER TABLE telemetry_minutes ADD COLUMN version bigint",
    """
    CREATE TABLE minutes_told (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        told_up_to timestamptz NOT NULL
    )
    """,
    # What was rolled up before nobody has asked for.
    "INSERT INTO minutes_told (told_up_to) SELECT rolled_up_to FROM rollup_progress",
    """
    CREATE TABLE minutes_corrected (
        ven_id text NOT NULL,
        "time" timestamptz NOT NULL,
        PRIMARY KEY (ven_id, "time")
    )
    """,
    "CREATE INDEX vens_disabled ON vens (ven_id) WHERE status = 'disabled'",
    "CREATE TABLE disabled_told (ven_id text PRIMARY KEY)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    today = datetime.now(UTC).date()
    for offset in range(-1, DAYS_AHEAD + 1):
        for statement in create_partition("network_stats", today + timedelta(days=offset)):
            op.execute(statement)


def downgrade() -> None:
    for table in ("network_stats", "minutes_told", "minutes_corrected", "disabled_told"):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP INDEX vens_disabled")
    op.execute("ALTER TABLE telemetry_minutes DROP COLUMN version")
    op.execute("DROP SEQUENCE telemetry_minute_versions")
