"""DR events, the commands that come of them, and the acknowledgements."""

from sqlalchemy import Column, DateTime, Double, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from schemas.tables.metadata import metadata

# DR events as they were asked for, and what became of them. `ven_ids` null is all VENs; `ended_at` is the end when it
# came before `end_time`. A deleted event is kept for its commands and acknowledgements, and shown to nobody.
events = Table(
    "events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("start_time", DateTime(timezone=True), nullable=False),
    Column("end_time", DateTime(timezone=True), nullable=False),
    Column("requested_reduction_kw", Double, nullable=False),
    Column("ven_ids", ARRAY(Text)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("started_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("cancelled_at", DateTime(timezone=True)),
    Column("deleted_at", DateTime(timezone=True)),
    # The time-average over a completed event, and when it was figured out: late readings may change it for a while.
    Column("actual_reduction_kw", Double),
    Column("figured_at", DateTime(timezone=True)),
    Index("events_start_time", "start_time", "event_id"),
)

# What was sent to VENs, by the correlation id that their acknowledgements repeat.
commands = Table(
    "commands",
    metadata,
    Column("correlation_id", Text, primary_key=True),
    Column("ven_id", Text, nullable=False),
    Column("op", Text, nullable=False),
    Column("event_id", Text),
    Column("payload", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Index("commands_ven_id", "ven_id", "created_at"),
    Index("commands_event_id", "event_id"),
)

ven_acks = Table(
    "ven_acks",
    metadata,
    Column("ven_id", Text, primary_key=True),
    Column("time", DateTime(timezone=True), primary_key=True),
    Column("op", Text, primary_key=True),
    Column("correlation_id", Text, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("status", Text, nullable=False),
    # As the device said; of an ack that answers a command, the event is that of the command.
    Column("event_id", Text),
    Column("requested_shed_kw", Double),
    Column("actual_shed_kw", Double),
    Column("circuits", JSONB, nullable=False),
    Column("error", Text),
    Column("extra", JSONB),
    # The device's own time, where it was impossible.
    Column("said_at", DateTime(timezone=True)),
    Index("ven_acks_event_id", "event_id"),
    Index("ven_acks_correlation_id", "correlation_id"),
    postgresql_partition_by="RANGE (time)",
)

# What POST answered to an Idempotency-Key, to be answered again for a day; `digest` is of the body.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("path", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("status", Integer),
    Column("body", Text),
    Column("location", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Index("idempotency_keys_created_at", "created_at"),
)
