"""DR events, the commands that come of them, and the acknowledgements."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from schemas.tables.metadata import metadata

# DR events as they were asked for, and what became of them. `ven_ids` null is all VENs; `ended_at` is the end when it
# came before `end_time`. A deleted event is kept for its commands and acknowledgements, and shown to nobody.
# `started_at` is when its VENs were chosen, `closed_at` when the dispatcher was done with it; `missed` says that it
# ended while nothing was there to start it.
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
    Column("settled_at", DateTime(timezone=True)),
    Column("closed_at", DateTime(timezone=True)),
    Column("over_at", DateTime(timezone=True), Computed("COALESCE(ended_at, end_time)", persisted=True)),
    Column("missed", Boolean, nullable=False, server_default=text("false")),
    Index("events_start_time", "start_time", "event_id"),
    Index("events_open", "start_time", postgresql_where=text("closed_at IS NULL")),
    Index(
        "events_unsettled",
        "closed_at",
        postgresql_where=text(
            "closed_at IS NOT NULL AND cancelled_at IS NULL AND deleted_at IS NULL AND (settled_at IS NULL "
            "OR settled_at - GREATEST(over_at, created_at) < interval '24 hours')"
        ),
    ),
)

# Who takes part in an event, with which share of it, and why: `reason` tells how the share came about, or why there is
# none. `late` is who came after the start. Rows stay until their VEN is deleted and the event is closed.
event_vens = Table(
    "event_vens",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("ven_id", Text, primary_key=True),
    Column("share_kw", Double),
    # What the VEN could shed when it was chosen; null where nobody knew.
    Column("capability_kw", Double),
    Column("reason", Text, nullable=False),
    Column("late", Boolean, nullable=False, server_default=text("false")),
    Column("decided_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    # Over the event, once it is closed: energy that was not used, and for how long samples tell so.
    Column("energy_kwh", Double),
    Column("covered_seconds", Double),
    Index("event_vens_ven_id", "ven_id"),
)

# What is sent to VENs, by the correlation id that their acknowledgements repeat. Those of an event have a `phase`,
# event or restore, and exist once for each event, VEN, phase and `command_revision`, which is 2 where the event or its
# restore is sent to the VEN once more. Every step has the time at which it was first known, so evidence may come in any
# order.
commands = Table(
    "commands",
    metadata,
    Column("correlation_id", Text, primary_key=True),
    Column("ven_id", Text, nullable=False),
    Column("op", Text, nullable=False),
    Column("event_id", Text),
    Column("payload", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    # The order in which they are sent: a VEN is to hear them in the order in which they were decided.
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("phase", Text),
    Column("command_revision", SmallInteger, nullable=False, server_default=text("1")),
    Column("attempt", Integer, nullable=False, server_default=text("1")),
    # Not sent after this; null until the dispatcher has seen it.
    Column("expires_at", DateTime(timezone=True)),
    # When what it asks for is over, by itself or because something ended it; null where it asks for nothing that lasts.
    Column("ends_at", DateTime(timezone=True)),
    Column("logged_at", DateTime(timezone=True)),  # of the last attempt
    Column("sending_at", DateTime(timezone=True)),  # of the last attempt
    Column("sent_at", DateTime(timezone=True)),  # the MQTT broker has it
    Column("expired_at", DateTime(timezone=True)),
    Column("acked_at", DateTime(timezone=True)),
    Column("ack_status", Text),
    Column("unanswered_at", DateTime(timezone=True)),
    Column("reported_at", DateTime(timezone=True)),  # a sample names its event, or no longer does after a restore
    Column("shed_at", DateTime(timezone=True)),  # a sample shows that something is shed for it
    Column("lost_at", DateTime(timezone=True)),  # the VEN had reported the event, and no longer does before its end
    # Whether the dispatcher still looks after it.
    Column("monitored", Boolean, nullable=False, server_default=text("true")),
    # When the row was written last, by a trigger: the feed asks for what changed. Commits may come in another order.
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")),
    Index("commands_ven_id", "ven_id", "created_at"),
    Index("commands_event_ven", "event_id", "ven_id"),
    Index(
        "commands_once",
        "event_id",
        "ven_id",
        "phase",
        "command_revision",
        unique=True,
        postgresql_where=text("phase IS NOT NULL"),
    ),
    Index("commands_monitored", "ven_id", postgresql_where=text("monitored")),
    Index("commands_changed_at", "changed_at"),
    Index("commands_ends_at", "ends_at", "ven_id", postgresql_where=text("ends_at IS NOT NULL")),
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
    # The device's own time, if it is outside the window.
    Column("device_time", DateTime(timezone=True)),
    # Whether `time` is the receive time, because the device sent no usable one.
    Column("timed_by_arrival", Boolean, nullable=False, server_default=text("false")),
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
