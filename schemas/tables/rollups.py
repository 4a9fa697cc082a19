"""Rollups of readings, and how far they have come."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    Sequence,
    Table,
    Text,
    text,
)

from schemas.tables.metadata import metadata


def _rollup_by_day(name: str, *more: Column[Any]) -> Table:
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
        *more,
        Index(f"{name}_time", "time", postgresql_using="brin", postgresql_with={"pages_per_range": 16}),
        postgresql_partition_by="RANGE (time)",
    )


# Of two versions of a minute the later has the higher; null in rows of before there were any.
telemetry_minutes = _rollup_by_day("telemetry_minutes", Column("version", BigInteger))
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

telemetry_minute_versions = Sequence("telemetry_minute_versions", metadata=metadata)

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
