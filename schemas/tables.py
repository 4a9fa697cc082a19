"""The tables in PostgreSQL, as SQLAlchemy Core; migrations/ creates them, with their partitions.

Readings and loads are partitioned by day on `time`, their primary keys are the natural keys, and they have neither
serial ids nor foreign keys: a message that comes again meets its own row, and old days leave by dropping a partition.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

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
    postgresql_partition_by="RANGE (time)",
)

telemetry_loads = Table(
    "telemetry_loads",
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

ven_faults = Table(
    "ven_faults",
    metadata,
    Column("ven_id", Text, primary_key=True),
    Column("time", DateTime(timezone=True), primary_key=True),
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
)
