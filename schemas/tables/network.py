"""Live totals as they were, and what the log has been told."""

from sqlalchemy import Boolean, CheckConstraint, Column, DateTime, Double, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from schemas.tables.metadata import metadata

# The first live totals of every ten seconds, kW; `time` is the beginning of the ten.
network_stats = Table(
    "network_stats",
    metadata,
    Column("time", DateTime(timezone=True), primary_key=True),
    Column("as_of", DateTime(timezone=True), nullable=False),
    Column("online_vens", Integer, nullable=False),
    Column("household_usage_kw", Double, nullable=False),
    Column("current_load_reduction_kw", Double, nullable=False),
    Column("controllable_power_kw", Double, nullable=False),
    Column("potential_load_reduction_kw", Double, nullable=False),
    Column("load_types", JSONB, nullable=False),
    postgresql_partition_by="RANGE (time)",
)

# One row. Minutes before `told_up_to` are in ven.telemetry.1m, but for those that were computed again since.
minutes_told = Table(
    "minutes_told",
    metadata,
    Column("one", Boolean, CheckConstraint("one"), primary_key=True, server_default=text("true")),
    Column("told_up_to", DateTime(timezone=True), nullable=False),
)
minutes_corrected = Table(
    "minutes_corrected",
    metadata,
    Column("ven_id", Text, primary_key=True),
    Column("time", DateTime(timezone=True), primary_key=True),
)

# The VENs of which ven.disabled says that they are; or may say so, where it is to be told how they are.
disabled_told = Table(
    "disabled_told",
    metadata,
    Column("ven_id", Text, primary_key=True),
    Column("is_told", Boolean, nullable=False, server_default=text("true")),
)
