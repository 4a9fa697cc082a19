"""The payload that a replay sends in place of the original: `corrected_payload`, the term of the glossary."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE dead_letters RENAME COLUMN mended TO corrected_payload")


def downgrade() -> None:
    op.execute("ALTER TABLE dead_letters RENAME COLUMN corrected_payload TO mended")
