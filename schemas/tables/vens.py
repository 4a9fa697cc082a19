"""The registry of VENs, and the latest of each."""

from sqlalchemy import CheckConstraint, Column, DateTime, Double, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import JSON, JSONB

from schemas.tables.metadata import metadata

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
    # How often the VEN reports, set by operators; null if that is not known.
    Column("report_interval_seconds", Double, CheckConstraint("report_interval_seconds > 0")),
    # Power beyond this, in kW and either way, is rejected; null for MAX_VEN_POWER_KW.
    Column("max_power_kw", Double, CheckConstraint("max_power_kw > 0")),
)

# The latest of each VEN. `received_at` is of any message, `reading_received_at` of readings: they are what makes a VEN
# online. Each told value has its own time, because not every reading tells it. Times are corrected by the clock skew,
# except `measured_at`, which is the time of the latest reading by the VEN's clock.
ven_status = Table(
    "ven_status",
    metadata,
    Column("ven_id", Text, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("reading_received_at", DateTime(timezone=True)),
    Column("measured_at", DateTime(timezone=True)),
    Column("sampled_at", DateTime(timezone=True)),
    # What to add to the VEN's times to get the gateway's, with the extremes of all its readings.
    Column("clock_skew_seconds", Double),
    Column("min_clock_skew", Double, nullable=False, server_default=text("0")),
    Column("max_clock_skew", Double, nullable=False, server_default=text("0")),
    Column("used_power_kw", Double),
    Column("used_power_at", DateTime(timezone=True)),
    Column("shed_power_kw", Double),
    Column("shed_power_at", DateTime(timezone=True)),
    Column("shed_event_id", Text),
    # A reading states what the VEN sheds for if it tells the shed power or names an event.
    Column("event_id", Text),
    Column("event_at", DateTime(timezone=True)),
    Column("requested_reduction_kw", Double),
    Column("battery_soc", Double),
    Column("battery_soc_at", DateTime(timezone=True)),
    Column("loads_measured_at", DateTime(timezone=True)),
    Column("loads", JSON),
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

ven_shadows = Table(
    "ven_shadows",
    metadata,
    Column("ven_id", Text, primary_key=True),
    Column("measured_at", DateTime(timezone=True)),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("document", JSONB, nullable=False),
)
