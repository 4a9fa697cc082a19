"""How a day's partition is named and made, for migrations and for the sink's housekeeping alike."""

from datetime import UTC, date, datetime, timedelta

PARTITIONED = (
    "telemetry_readings",
    "telemetry_loads",
    "load_snapshots",
    "ven_faults",
    "ven_acks",
    "notices",
    "dead_letters",
    "telemetry_minutes",
    "telemetry_hours",
    "network_buckets",
    "network_stats",
)
"""Tables with one partition a day."""

DROPPING = "_dropping"
"""What is added to the name of a partition that is being dropped, to tell it from one that somebody put aside."""


def partition_name(parent: str, day: date) -> str:
    """Return the name of a day's partition; names sort as their days do."""
    return f"{parent}_{day.isoformat().replace('-', '')}"


def day_of(moment: datetime) -> date:
    """Return the day (UTC) whose partition holds a time."""
    return moment.astimezone(UTC).date()


def create_partition(parent: str, day: date) -> tuple[str, ...]:
    """Return the statements that make the partition of a day (UTC).

    It is made apart and then attached: ATTACH lets readers and writers of the parent go on, CREATE … PARTITION OF
    would not. A table of that name that somebody detached comes back with its rows.
    """
    partition = partition_name(parent, day)
    bounds = f"FROM ('{day} 00:00+00') TO ('{day + timedelta(days=1)} 00:00+00')"
    return (
        f"CREATE TABLE IF NOT EXISTS {partition} (LIKE {parent} INCLUDING ALL)",
        f"ALTER TABLE {parent} ATTACH PARTITION {partition} FOR VALUES {bounds}",
    )
