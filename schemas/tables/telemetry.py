"""What VENs measured: readings, loads and faults."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Double, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from schemas.tables.metadata import metadata

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
    Column("digest", BigInteger),
    # What to add to `time` to get the gateway's; null while the VEN's clock seems right.
    Column("clock_skew_seconds", Double),
    # The rows of a minute, of all VENs, lie together on disk: BRIN finds them and costs next to nothing.
    Index("telemetry_readings_time", "time", postgresql_using="brin", postgresql_with={"pages_per_range": 16}),
    Index("telemetry_readings_event_id", "event_id", "ven_id", "time", postgresql_where=text("event_id IS NOT NULL")),
    postgresql_partition_by="RANGE (time)",
)


def _loads_by_day(name: str, *more: Column[Any]) -> Table:
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
        *more,
        postgresql_partition_by="RANGE (time)",
    )


telemetry_loads = _loads_by_day("telemetry_loads")
load_snapshots = _loads_by_day("load_snapshots", Column("digest", BigInteger))

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
