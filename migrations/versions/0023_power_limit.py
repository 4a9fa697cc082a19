"""The plausible power of a VEN, which operators may set and the role `validate` learns from Kafka."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

UPGRADE = (
    "ALTER TABLE vens ADD COLUMN max_power_kw double precision CHECK (max_power_kw > 0)",
    """
    CREATE FUNCTION enqueue_power_limit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO outbox (kind, key) VALUES ('power_limit', COALESCE(NEW.ven_id, OLD.ven_id));
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER vens_created_power_limit AFTER INSERT ON vens
    FOR EACH ROW WHEN (NEW.max_power_kw IS NOT NULL) EXECUTE FUNCTION enqueue_power_limit()
    """,
    """
    CREATE TRIGGER vens_changed_power_limit AFTER UPDATE OF max_power_kw ON vens
    FOR EACH ROW WHEN (OLD.max_power_kw IS DISTINCT FROM NEW.max_power_kw) EXECUTE FUNCTION enqueue_power_limit()
    """,
    """
    CREATE TRIGGER vens_deleted_power_limit AFTER DELETE ON vens
    FOR EACH ROW WHEN (OLD.max_power_kw IS NOT NULL) EXECUTE FUNCTION enqueue_power_limit()
    """,
)
DOWNGRADE = (
    "DROP TRIGGER vens_deleted_power_limit ON vens",
    "DROP TRIGGER vens_changed_power_limit ON vens",
    "DROP TRIGGER vens_created_power_limit ON vens",
    "DROP FUNCTION enqueue_power_limit",
    "DELETE FROM outbox WHERE kind = 'power_limit'",
    "ALTER TABLE vens DROP COLUMN max_power_kw",
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)
