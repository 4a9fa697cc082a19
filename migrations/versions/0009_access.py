"""API keys, and who did what."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE api_keys (
        key_id text PRIMARY KEY,
        digest bytea NOT NULL UNIQUE,
        name text NOT NULL,
        role text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz,
        revoked_at timestamptz
    )
    """,
    """
    CREATE TABLE audit (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        who text NOT NULL,
        name text NOT NULL,
        by text NOT NULL,
        role text NOT NULL,
        method text NOT NULL,
        path text NOT NULL,
        outcome text NOT NULL,
        status integer,
        result text,
        request_id text,
        address text
    )
    """,
    "CREATE INDEX audit_at ON audit (at)",
    "CREATE INDEX audit_who ON audit (who, id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE audit")
    op.execute("DROP TABLE api_keys")
