"""The reason of a share that is all a VEN can shed is `full_capability`."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE event_vens SET reason = 'full_capability' WHERE reason = 'all_it_can'")


def downgrade() -> None:
    op.execute("UPDATE event_vens SET reason = 'all_it_can' WHERE reason = 'full_capability'")
