"""When each command changed last, so that the feed can ask for what is new."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENTS = (
    # A default that changes would rewrite the table. What is there already is no news to anybody.
    "ALTER TABLE commands ADD COLUMN changed_at timestamptz NOT NULL DEFAULT 'epoch'",
    "ALTER TABLE commands ALTER COLUMN changed_at SET DEFAULT clock_timestamp()",
    "CREATE INDEX commands_changed_at ON commands (changed_at)",
    """
    CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.changed_at := clock_timestamp();
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER commands_changed BEFORE UPDATE ON commands FOR EACH ROW EXECUTE FUNCTION note_change()",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER commands_changed ON commands")
    op.execute("DROP FUNCTION note_change")
    op.execute("DROP INDEX commands_changed_at")
    op.execute("ALTER TABLE commands DROP COLUMN changed_at")
