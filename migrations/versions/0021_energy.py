"""Energy of minutes and hours over the real gaps between samples, and the energy of each day."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

UPGRADE = (
    """
    ALTER TABLE telemetry_minutes
        ADD COLUMN used_kwh double precision, ADD COLUMN used_covered_seconds double precision,
        ADD COLUMN shed_kwh double precision, ADD COLUMN shed_covered_seconds double precision,
        ADD COLUMN used_held_kw double precision, ADD COLUMN used_held_until timestamptz,
        ADD COLUMN shed_held_kw double precision, ADD COLUMN shed_held_until timestamptz
    """,
    """
    ALTER TABLE telemetry_hours
        ADD COLUMN used_kwh double precision, ADD COLUMN used_covered_seconds double precision,
        ADD COLUMN shed_kwh double precision, ADD COLUMN shed_covered_seconds double precision
    """,
    """
    CREATE TABLE energy_days (
        day date PRIMARY KEY,
        used_kwh double precision NOT NULL DEFAULT 0,
        shown_kwh double precision NOT NULL DEFAULT 0,
        shown_from timestamptz NOT NULL DEFAULT '-infinity',
        previous_kwh double precision NOT NULL DEFAULT 0,
        candidate_kwh double precision NOT NULL DEFAULT 0,
        candidate_since timestamptz NOT NULL DEFAULT '-infinity',
        corrected_at timestamptz NOT NULL DEFAULT '-infinity',
        lowered_at timestamptz NOT NULL DEFAULT '-infinity'
    )
    """,
    # Rolls up this day again, so that its energy is complete. A power from before midnight may still hold then.
    """
    UPDATE rollup_progress SET rolled_up_to = LEAST(rolled_up_to, date_trunc('day', now(), 'UTC') - interval '1 hour')
    WHERE EXISTS (SELECT FROM telemetry_minutes)
    """,
)

DOWNGRADE = (
    "DROP TABLE energy_days",
    """
    ALTER TABLE telemetry_hours
        DROP COLUMN used_kwh, DROP COLUMN used_covered_seconds,
        DROP COLUMN shed_kwh, DROP COLUMN shed_covered_seconds
    """,
    """
    ALTER TABLE telemetry_minutes
        DROP COLUMN used_kwh, DROP COLUMN used_covered_seconds,
        DROP COLUMN shed_kwh, DROP COLUMN shed_covered_seconds,
        DROP COLUMN used_held_kw, DROP COLUMN used_held_until,
        DROP COLUMN shed_held_kw, DROP COLUMN shed_held_until
    """,
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)
