"""How often a VEN reports, and how long one of its samples holds."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

# How long a reported power counts if no newer one follows, in seconds: `default_hold` (ENERGY_HOLD_SECONDS), or three
# report intervals where these are known and longer.
HOLD_SECONDS = """
CREATE FUNCTION hold_seconds(report_interval_seconds double precision, default_hold double precision)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN GREATEST(default_hold, 3 * report_interval_seconds)
"""


def upgrade() -> None:
    op.execute(
        "ALTER TABLE vens ADD COLUMN report_interval_seconds double precision CHECK (report_interval_seconds > 0)"
    )
    op.execute(HOLD_SECONDS)


def downgrade() -> None:
    op.execute("DROP FUNCTION hold_seconds")
    op.execute("ALTER TABLE vens DROP COLUMN report_interval_seconds")
