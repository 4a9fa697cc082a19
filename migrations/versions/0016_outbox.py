"""One transactional outbox in place of four notes of what is still to be published."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

UPGRADE = (
    """
    CREATE TABLE outbox (
        kind text NOT NULL,
        id bigint GENERATED ALWAYS AS IDENTITY,
        key text NOT NULL,
        "time" timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (kind, id)
    )
    """,
    """
    INSERT INTO outbox (kind, key, created_at)
    SELECT 'command', correlation_id, created_at FROM commands WHERE logged_at IS NULL ORDER BY seq
    """,
    "DROP INDEX commands_unlogged",
    # VENs whose last published state differs from the registry, or was not confirmed by Kafka.
    """
    INSERT INTO outbox (kind, key)
    SELECT 'disabled_ven', ven_id
    FROM disabled_told FULL JOIN (SELECT ven_id FROM vens WHERE status = 'disabled') AS disabled USING (ven_id)
    WHERE disabled_told.is_told IS NOT TRUE OR disabled.ven_id IS NULL
    """,
    "DROP TABLE disabled_told",
    "DROP INDEX vens_disabled",
    """
    CREATE FUNCTION enqueue_disabled_ven() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO outbox (kind, key) VALUES ('disabled_ven', COALESCE(NEW.ven_id, OLD.ven_id));
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER vens_created_disabled AFTER INSERT ON vens
    FOR EACH ROW WHEN (NEW.status = 'disabled') EXECUTE FUNCTION enqueue_disabled_ven()
    """,
    """
    CREATE TRIGGER vens_disabled_or_enabled AFTER UPDATE OF status ON vens
    FOR EACH ROW WHEN ((OLD.status = 'disabled') <> (NEW.status = 'disabled')) EXECUTE FUNCTION enqueue_disabled_ven()
    """,
    """
    CREATE TRIGGER vens_deleted_disabled AFTER DELETE ON vens
    FOR EACH ROW WHEN (OLD.status = 'disabled') EXECUTE FUNCTION enqueue_disabled_ven()
    """,
    # Subqueries, not a join: PostgreSQL then skips the partitions of other days.
    """
    INSERT INTO outbox (kind, key, "time")
    SELECT 'minute', ven_id, "time" FROM telemetry_minutes
    WHERE "time" >= (SELECT told_up_to FROM minutes_told) AND "time" < (SELECT rolled_up_to FROM rollup_progress)
    ORDER BY "time"
    """,
    """
    INSERT INTO outbox (kind, key, "time")
    SELECT 'minute', ven_id, "time" FROM minutes_corrected ORDER BY "time"
    """,
    "DROP TABLE minutes_told",
    "DROP TABLE minutes_corrected",
    """
    INSERT INTO outbox (kind, key, "time", created_at)
    SELECT 'replay', letter_id, letter_time, requested_at FROM replay_requests ORDER BY requested_at
    """,
    "DROP TABLE replay_requests",
)

DOWNGRADE = (
    """
    CREATE TABLE replay_requests (
        letter_id text NOT NULL,
        letter_time timestamptz NOT NULL,
        attempt integer NOT NULL,
        requested_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (letter_id, attempt)
    )
    """,
    """
    INSERT INTO replay_requests
    SELECT outbox.key, outbox."time", dead_letters.replays, min(outbox.created_at)
    FROM outbox JOIN dead_letters ON dead_letters.id = outbox.key AND dead_letters."time" = outbox."time"
    WHERE outbox.kind = 'replay'
    GROUP BY 1, 2, 3
    """,
    """
    CREATE TABLE minutes_corrected (
        ven_id text NOT NULL,
        "time" timestamptz NOT NULL,
        PRIMARY KEY (ven_id, "time")
    )
    """,
    """INSERT INTO minutes_corrected SELECT DISTINCT key, "time" FROM outbox WHERE kind = 'minute'""",
    """
    CREATE TABLE minutes_told (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        told_up_to timestamptz NOT NULL
    )
    """,
    "INSERT INTO minutes_told (told_up_to) SELECT rolled_up_to FROM rollup_progress",
    "DROP TRIGGER vens_created_disabled ON vens",
    "DROP TRIGGER vens_disabled_or_enabled ON vens",
    "DROP TRIGGER vens_deleted_disabled ON vens",
    "DROP FUNCTION enqueue_disabled_ven",
    "CREATE INDEX vens_disabled ON vens (ven_id) WHERE status = 'disabled'",
    "CREATE TABLE disabled_told (ven_id text PRIMARY KEY, is_told boolean NOT NULL DEFAULT true)",
    "INSERT INTO disabled_told SELECT DISTINCT key, false FROM outbox WHERE kind = 'disabled_ven'",
    """
    INSERT INTO disabled_told (ven_id) SELECT ven_id FROM vens WHERE status = 'disabled' ON CONFLICT DO NOTHING
    """,
    "CREATE INDEX commands_unlogged ON commands (seq) WHERE logged_at IS NULL",
    "DROP TABLE outbox",
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)
