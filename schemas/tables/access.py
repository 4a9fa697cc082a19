"""Who may use the API, and what was done with it."""

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Integer, LargeBinary, Table, Text, text

from schemas.tables.metadata import metadata

# `digest` is the SHA-256 of the key; the key itself is told once, to whoever makes it. Rows stay when they are revoked,
# for the audit names them.
api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("expires_at", DateTime(timezone=True)),
    Column("revoked_at", DateTime(timezone=True)),
)

# Who did what. `outcome` is done, repeated (its answer was given again), failed (the answer said why) or denied (the
# role may not); `result` is what came of it: the id of an event, of a command, of a key. Rows leave when somebody
# deletes them.
audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    Column("who", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("by", Text, nullable=False),  # key, token, cli, or open: nobody had to say who they are
    Column("role", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("status", Integer),  # of the HTTP answer, where nothing was done
    Column("result", Text),
    Column("request_id", Text),
    Column("address", Text),
    Index("audit_at", "at"),
    Index("audit_who", "who", "id"),
)
