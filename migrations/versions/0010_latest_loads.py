"""The latest loads of a VEN are text that is JSON: they are written with each sample, and seldom looked into.

Taking them apart for JSONB was more than half of what the row of a VEN cost. The table is written anew, which takes
about a second for 100,000 VENs.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE ven_status ALTER COLUMN loads TYPE json USING loads::json")


def downgrade() -> None:
    op.execute("ALTER TABLE ven_status ALTER COLUMN loads TYPE jsonb USING loads::jsonb")
