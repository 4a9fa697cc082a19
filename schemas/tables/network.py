"""The history of the live totals."""

from sqlalchemy import Column, DateTime, Double, Integer, Table
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
