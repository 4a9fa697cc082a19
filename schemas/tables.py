"""The tables in PostgreSQL, as SQLAlchemy Core; migrations/ creates them, with their partitions.

Tables with a `time` are partitioned by day on it, their primary keys are the natural keys, and they have neither serial
ids nor foreign keys: a message that comes again meets its own row, and old days leave by dropping a partition.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()

vens = Table(
    "vens",
    metadata,
    Column("ven_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("latitude", Double, nullable=False, server_default=text("0")),
    Column("longitude", Double, nullable=False, server_default=text("0")),
    # What POST or PATCH said, which stays until the VEN is heard; `disabled` stays until patched.
    Column("status", Text, nullable=False, server_default=text("'offline'")),
    Column("status_set_at", DateTime(timezone=True), nullable=False, server_default=text("'-infinity'")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)

telemetry_readings = Table(
    "telemetry_readings",
    metadata,
    Column("ven_id", Text, primary_key=True),
    Column("time", DateTime(timezone=True), primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("used_power_kw", Double),
    Column("shed_power_kw", Double),
    Column("requested_reduction_kw", Double),
    Column("baseline_power_kw", Double),
    Column("battery_soc", Double),
    Column("panel_amperage_rating", Double),
    Column("panel_voltage", Double),
    Column("panel_max_kw", Double),
    Column("current_amps", Double),
    Column("panel_utilization_percent", Double),
    Column("message_num", BigInteger),
    Column("event_id", Text),
    Column("extra", JSONB),
    # The rows of a minute, of all VENs, lie together on disk: BRIN finds them and costs next to nothing.
    Index("telemetry_readings_time", "time", postgresql_using="brin", postgresql_with={"pages_per_range": 16}),
    Index("telemetry_readings_event_id", "event_id", "ven_id", "time", postgresql_where=text("event_id IS NOT NULL")),
    postgresql_partition_by="RANGE (time)",
)


def _loads_by_day(name: str) -> Table:
    """One row a load: of a reading, or of a load snapshot."""
    return Table(
        name,
        metadata,
        Column("ven_id", Text, primary_key=True),
        Column("time", DateTime(timezone=True), primary_key=True),
        Column("load_id", Text, primary_key=True),
        Column("capacity_kw", Double),
        Column("current_power_kw", Double),
        Column("shed_capability_kw", Double),
        Column("priority", Integer),
        Column("enabled", Boolean, nullable=False),
        Column("name", Text),
        Column("type", Text),
        Column("extra", JSONB),
        postgresql_partition_by="RANGE (time)",
    )


telemetry_loads = _loads_by_day("telemetry_loads")
load_snapshots = _loads_by_day("load_snapshots")

ven_faults = Table(
    "ven_faults",
    metadata,
    Column("ven_id", Text, primary_key=True),
    Column("time", DateTime(timezone=True), primary_key=True),
    # Of the text: a VEN may report two things in one second.
    Column("digest", Text, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("error", Text, nullable=False),
    postgresql_partition_by="RANGE (time)",
)

# The latest of each VEN: measured values move forward in event time only, the received times in received time.
# `received_at` is of any message, `reading_received_at` of readings: they are what makes a VEN online.
ven_status = Table(
    "ven_status",
    metadata,
    Column("ven_id", Text, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("reading_received_at", DateTime(timezone=True)),
    Column("measured_at", DateTime(timezone=True)),
    Column("used_power_kw", Double),
    Column("shed_power_kw", Double),
    Column("requested_reduction_kw", Double),
    Column("battery_soc", Double),
    Column("event_id", Text),
    Column("loads_measured_at", DateTime(timezone=True)),
    Column("loads", JSONB),
    # Received minus measured, of the last measured values: how far the VEN's clock is behind ours, and the way here.
    Column("clock_skew_seconds", Double),
    # What the VEN last said of itself, and when its last will came.
    Column("reported_status", Text),
    Column("reported_at", DateTime(timezone=True)),
    Column("left_at", DateTime(timezone=True)),
    Index("ven_status_event_id", "event_id", postgresql_where=text("event_id IS NOT NULL")),
)

# Deleted VENs whose history of before `removed_at` is still to be erased.
ven_removals = Table(
    "ven_removals",
    metadata,
    Column("ven_id", Text, primary_key=True),
    Column("removed_at", DateTime(timezone=True), nullable=False),
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

ven_shadows = Table(
    "ven_shadows",
    metadata,
    Column("ven_id", Text, primary_key=True),
    Column("measured_at", DateTime(timezone=True)),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("document", JSONB, nullable=False),
)

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
    # See schemas.dead_letters.State; `replays` counts the attempts, `mended` is the payload of the last one.
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("state_at", DateTime(timezone=True)),
    Column("state_detail", Text),
    Column("replays", Integer, nullable=False, server_default=text("0")),
    Column("mended", LargeBinary),
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


def _rollup_by_day(name: str) -> Table:
    """One row a VEN and stretch of time: sums of its samples, so that rows add up to wider buckets."""
    return Table(
        name,
        metadata,
        Column("ven_id", Text, primary_key=True),
        Column("time", DateTime(timezone=True), primary_key=True),
        Column("samples", Integer, nullable=False),
        Column("used_samples", Integer, nullable=False),
        Column("used_sum", Double, nullable=False),
        Column("used_min", Double),
        Column("used_max", Double),
        Column("shed_samples", Integer, nullable=False),
        Column("shed_sum", Double, nullable=False),
        Column("shed_min", Double),
        Column("shed_max", Double),
        # The last that a sample named.
        Column("event_id", Text),
        Column("requested_reduction_kw", Double),
        Index(f"{name}_time", "time", postgresql_using="brin", postgresql_with={"pages_per_range": 16}),
        postgresql_partition_by="RANGE (time)",
    )


telemetry_minutes = _rollup_by_day("telemetry_minutes")
telemetry_hours = _rollup_by_day("telemetry_hours")

# Sums over VENs of their means in a bucket.
network_buckets = Table(
    "network_buckets",
    metadata,
    Column("granularity", Text, primary_key=True),
    Column("time", DateTime(timezone=True), primary_key=True),
    Column("used_power_kw", Double),
    Column("shed_power_kw", Double),
    Column("vens", Integer, nullable=False),
    postgresql_partition_by="RANGE (time)",
)

# One row. A reading before `late_before` is noted in `rollup_late`; minutes before `rolled_up_to` are in the rollups.
rollup_progress = Table(
    "rollup_progress",
    metadata,
    Column("one", Boolean, CheckConstraint("one"), primary_key=True, server_default=text("true")),
    Column("late_before", DateTime(timezone=True), nullable=False),
    Column("rolled_up_to", DateTime(timezone=True), nullable=False),
)

# Minutes to compute again, and buckets of the network.
rollup_late = Table(
    "rollup_late",
    metadata,
    Column("ven_id", Text, primary_key=True),
    Column("time", DateTime(timezone=True), primary_key=True),
    Column("noted_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)
network_stale = Table(
    "network_stale",
    metadata,
    Column("granularity", Text, primary_key=True),
    Column("time", DateTime(timezone=True), primary_key=True),
)
