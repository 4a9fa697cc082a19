"""Rollups of readings, and how far they have come."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
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
    """One row for each VEN and time span: sums of its samples, so that rows add up to wider buckets."""
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
        # The integral of the power that was in force, and for how long one was; null where none was.
        Column("used_kwh", Double),
        Column("used_covered_seconds", Double),
        Column("shed_kwh", Double),
        Column("shed_covered_seconds", Double),
        Index(f"{name}_time", "time", postgresql_using="brin", postgresql_with={"pages_per_range": 16}),
        postgresql_partition_by="RANGE (time)",
    )


telemetry_minutes = _rollup_by_day(
    "telemetry_minutes",
    # Of two versions of a minute the later has the higher; null in rows of before there were any.
    Column("version", BigInteger),
    # The power that is in force at the end of the minute, and until when if no newer one follows: all that the next
    # minute needs to know of the time before it.
    Column("used_held_kw", Double),
    Column("used_held_until", DateTime(timezone=True)),
    Column("shed_held_kw", Double),
    Column("shed_held_until", DateTime(timezone=True)),
)
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

# The energy that all VENs used on each day (UTC).
energy_days = Table(
    "energy_days",
    metadata,
    Column("day", Date, primary_key=True),
    # Of the minutes that are rolled up, deleted VENs included; late readings change it either way.
    Column("used_kwh", Double, nullable=False, server_default=text("0")),
    # What clients see from `shown_from` on, with an estimate of the open minutes; `previous_kwh` until then.
    Column("shown_kwh", Double, nullable=False, server_default=text("0")),
    Column("shown_from", DateTime(timezone=True), nullable=False, server_default=text("'-infinity'")),
    Column("previous_kwh", Double, nullable=False, server_default=text("0")),
    # The energy at that time: it is shown if it still stands when the next one is computed.
    Column("candidate_kwh", Double, nullable=False, server_default=text("0")),
    Column("candidate_since", DateTime(timezone=True), nullable=False, server_default=text("'-infinity'")),
    # When an operator removed readings, and which removal `shown_kwh` was lowered for: nothing else lowers it.
    Column("corrected_at", DateTime(timezone=True), nullable=False, server_default=text("'-infinity'")),
    Column("lowered_at", DateTime(timezone=True), nullable=False, server_default=text("'-infinity'")),
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

# Locks the row, so that closing the next minutes waits for the transaction that stores or removes readings. Rolling up,
# which takes seconds for a large fleet, neither waits for it nor delays it.
LATE_BEFORE = "SELECT late_before FROM rollup_progress FOR KEY SHARE"

# Updates existing rows too, so that recomputation skips them while this transaction lasts. Their first time stays: a
# removal of readings waits for the minutes that were noted up to then.
MARK_LATE = """
INSERT INTO rollup_late (ven_id, time)
SELECT * FROM unnest($1::text[], $2::timestamptz[])
ON CONFLICT (ven_id, time) DO UPDATE SET noted_at = rollup_late.noted_at
"""
