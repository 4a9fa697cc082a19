"""The way of a command: who takes part in an event, and what is known of each command sent."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COMMAND_COLUMNS = {
    "seq": "bigint GENERATED ALWAYS AS IDENTITY",
    "phase": "text",
    "telling": "smallint NOT NULL DEFAULT 1",
    "attempt": "integer NOT NULL DEFAULT 1",
    "expires_at": "timestamptz",
    "ends_at": "timestamptz",
    "logged_at": "timestamptz",
    "sending_at": "timestamptz",
    "sent_at": "timestamptz",
    "expired_at": "timestamptz",
    "acked_at": "timestamptz",
    "ack_status": "text",
    "unanswered_at": "timestamptz",
    "reported_at": "timestamptz",
    "shed_at": "timestamptz",
    "lost_at": "timestamptz",
    "watched": "boolean NOT NULL DEFAULT true",
}
EVENT_COLUMNS = {"closed_at": "timestamptz", "missed": "boolean NOT NULL DEFAULT false"}
INDEXES = (
    "events_open",
    "events_unsettled",
    "commands_once",
    "commands_unlogged",
    "commands_watched",
    "commands_ends_at",
)

STATEMENTS = (
    *(f"ALTER TABLE commands ADD COLUMN {name} {kind}" for name, kind in COMMAND_COLUMNS.items()),
    *(f"ALTER TABLE events ADD COLUMN {name} {kind}" for name, kind in EVENT_COLUMNS.items()),
    # What was taken in before anything could be sent is not sent now, and events that are over are not started.
    "UPDATE commands SET expires_at = created_at, logged_at = created_at, expired_at = now(), watched = false",
    """
    UPDATE events SET closed_at = now()
    WHERE cancelled_at IS NOT NULL OR deleted_at IS NOT NULL OR COALESCE(ended_at, end_time) <= now()
    """,
    "CREATE INDEX events_open ON events (start_time) WHERE closed_at IS NULL",
    """
    CREATE INDEX events_unsettled ON events (closed_at)
    WHERE closed_at IS NOT NULL AND cancelled_at IS NULL AND deleted_at IS NULL AND (figured_at IS NULL
        OR figured_at - GREATEST(COALESCE(ended_at, end_time), created_at) < interval '24 hours')
    """,
    "CREATE UNIQUE INDEX commands_once ON commands (event_id, ven_id, phase, telling) WHERE phase IS NOT NULL",
    "CREATE INDEX commands_unlogged ON commands (seq) WHERE logged_at IS NULL",
    "CREATE INDEX commands_watched ON commands (ven_id) WHERE watched",
    "CREATE INDEX commands_ends_at ON commands (ends_at, ven_id) WHERE ends_at IS NOT NULL",
    """
    CREATE TABLE event_vens (
        event_id text NOT NULL,
        ven_id text NOT NULL,
        share_kw double precision,
        capability_kw double precision,
        reason text NOT NULL,
        late boolean NOT NULL DEFAULT false,
        decided_at timestamptz NOT NULL DEFAULT now(),
        energy_kwh double precision,
        covered_seconds double precision,
        PRIMARY KEY (event_id, ven_id)
    )
    """,
    "CREATE INDEX event_vens_ven_id ON event_vens (ven_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE event_vens")
    for index in INDEXES:
        op.execute(f"DROP INDEX {index}")
    for name in EVENT_COLUMNS:
        op.execute(f"ALTER TABLE events DROP COLUMN {name}")
    for name in COMMAND_COLUMNS:
        op.execute(f"ALTER TABLE commands DROP COLUMN {name}")
