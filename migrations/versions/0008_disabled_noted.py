"""Who is disabled is noted before the log is told: it may know also when the telling failed."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE disabled_told ADD COLUMN is_told boolean NOT NULL DEFAULT true")


def downgrade() -> None:
    op.execute("ALTER TABLE disabled_told DROP COLUMN is_told")
