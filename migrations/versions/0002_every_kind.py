"""Load snapshots, acknowledgements, shadows, notices, the index of dead letters, and presence."""

from datetime import UTC, datetime, timedelta

from alembic import op

from schemas.tables.partitioning import create_partition

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PARTITIONED = ("load_snapshots", "ven_acks", "notices", "dead_letters")
DAYS_AHEAD = 7

STATEMENTS = (
    "ALTER TABLE ven_faults ADD COLUMN digest text NOT NULL DEFAULT ''",
    "ALTER TABLE ven_faults ALTER COLUMN digest DROP DEFAULT",
    "ALTER TABLE ven_faults DROP CONSTRAINT ven_faults_pkey",
    'ALTER TABLE ven_faults ADD PRIMARY KEY (ven_id, "time", digest)',
    """
    ALTER TABLE ven_status
        ADD COLUMN clock_skew_seconds double precision,
        ADD COLUMN reported_status text,
        ADD COLUMN reported_at timestamptz,
        ADD COLUMN left_at timestamptz
    """,
    """
    CREATE TABLE load_snapshots (
        ven_id text NOT NULL,
        "time" timestamptz NOT NULL,
        load_id text NOT NULL,
        capacity_kw double precision,
        current_power_kw double precision,
        shed_capability_kw double precision,
        priority integer,
        enabled boolean NOT NULL,
        name text,
        type text,
        extra jsonb,
        PRIMARY KEY (ven_id, "time", load_id)
    ) PARTITION BY RANGE ("time")
    """,
    """
    CREATE TABLE ven_acks (
        ven_id text NOT NULL,
        "time" timestamptz NOT NULL,
        op text NOT NULL,
        correlation_id text NOT NULL,
        received_at timestamptz NOT NULL,
        status text NOT NULL,
        event_id text,
        requested_shed_kw double precision,
        actual_shed_kw double precision,
        circuits jsonb NOT NULL,
        error text,
        extra jsonb,
        said_at timestamptz,
        PRIMARY KEY (ven_id, "time", op, correlation_id)
    ) PARTITION BY RANGE ("time")
    """,
    "CREATE INDEX ven_acks_event_id ON ven_acks (event_id)",
    "CREATE INDEX ven_acks_correlation_id ON ven_acks (correlation_id)",
    """
    CREATE TABLE commands (
        correlation_id text PRIMARY KEY,
        ven_id text NOT NULL,
        op text NOT NULL,
        event_id text,
        payload jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE ven_shadows (
        ven_id text PRIMARY KEY,
        measured_at timestamptz,
        received_at timestamptz NOT NULL,
        document jsonb NOT NULL
    )
    """,
    """
    CREATE TABLE notices (
        "time" timestamptz NOT NULL,
        kind text NOT NULL,
        digest text NOT NULL,
        received_at timestamptz NOT NULL,
        last_received_at timestamptz NOT NULL,
        ven_id text,
        topic text NOT NULL,
        document jsonb NOT NULL,
        PRIMARY KEY ("time", kind, digest)
    ) PARTITION BY RANGE ("time")
    """,
    """
    CREATE TABLE dead_letters (
        id text NOT NULL,
        "time" timestamptz NOT NULL,
        source_topic text NOT NULL,
        source_partition integer,
        source_offset bigint,
        mqtt_topic text,
        ven_id text,
        reason text NOT NULL,
        detail text NOT NULL,
        key bytea,
        headers jsonb NOT NULL,
        payload bytea NOT NULL,
        state text NOT NULL DEFAULT 'open',
        state_at timestamptz,
        state_detail text,
        replays integer NOT NULL DEFAULT 0,
        mended bytea,
        PRIMARY KEY (id, "time")
    ) PARTITION BY RANGE ("time")
    """,
    'CREATE INDEX dead_letters_time ON dead_letters ("time")',
    'CREATE INDEX dead_letters_ven_id ON dead_letters (ven_id, "time")',
    'CREATE INDEX dead_letters_reason ON dead_letters (reason, "time")',
    """
    CREATE TABLE replay_requests (
        letter_id text NOT NULL,
        letter_time timestamptz NOT NULL,
        attempt integer NOT NULL,
        requested_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (letter_id, attempt)
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    today = datetime.now(UTC).date()
    for table in PARTITIONED:
        for offset in range(-1, DAYS_AHEAD + 1):
            for statement in create_partition(table, today + timedelta(days=offset)):
                op.execute(statement)


def downgrade() -> None:
    for table in (*PARTITIONED, "ven_shadows", "commands", "replay_requests"):
        op.execute(f"DROP TABLE {table}")
    op.execute("ALTER TABLE ven_faults DROP CONSTRAINT ven_faults_pkey")
    op.execute(
        "DELETE FROM ven_faults AS f USING ven_faults AS other "
        'WHERE f.ven_id = other.ven_id AND f."time" = other."time" AND f.digest > other.digest'
    )
    op.execute("ALTER TABLE ven_faults DROP COLUMN digest")
    op.execute('ALTER TABLE ven_faults ADD PRIMARY KEY (ven_id, "time")')
    op.execute(
        """
        ALTER TABLE ven_status
            DROP COLUMN clock_skew_seconds, DROP COLUMN reported_status, DROP COLUMN reported_at, DROP COLUMN left_at
        """
    )
