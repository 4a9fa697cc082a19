"""Messages that did not count, on their way back, and those kept for the record."""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, LargeBinary, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from schemas.tables.metadata import metadata

# Messages for the record: `time` is their own, or the beginning of the day they came on.
notices = Table(
    "notices",
    metadata,
    Column("time", DateTime(timezone=True), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("last_received_at", DateTime(timezone=True), nullable=False),
    Column("ven_id", Text),
    Column("topic", Text, nullable=False),
    Column("document", JSONB, nullable=False),
    postgresql_partition_by="RANGE (time)",
)

# The index of the dead-letter topics. `id` is of the source record and the reason, so a letter that is written twice is
# one row; `time` is when the gateway received the message.
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Text, primary_key=True),
    Column("time", DateTime(timezone=True), primary_key=True),
    Column("source_topic", Text, nullable=False),
    Column("source_partition", Integer),
    Column("source_offset", BigInteger),
    Column("mqtt_topic", Text),
    Column("ven_id", Text),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("key", LargeBinary),
    Column("headers", JSONB, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    # See schemas.records.dead_letters.State; `replays` counts the attempts, `corrected_payload` is of the last one.
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("state_at", DateTime(timezone=True)),
    Column("state_detail", Text),
    Column("replays", Integer, nullable=False, server_default=text("0")),
    Column("corrected_payload", LargeBinary),
    Index("dead_letters_time", "time"),
    Index("dead_letters_ven_id", "ven_id", "time"),
    Index("dead_letters_reason", "reason", "time"),
    postgresql_partition_by="RANGE (time)",
)

# What is to be replayed, until it is back in its topic.
replay_requests = Table(
    "replay_requests",
    metadata,
    Column("letter_id", Text, primary_key=True),
    Column("letter_time", DateTime(timezone=True), nullable=False),
    Column("attempt", Integer, primary_key=True),
    Column("requested_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)
