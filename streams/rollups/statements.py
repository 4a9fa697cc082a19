"""The SQL that computes rollups: of minutes from readings, of hours from minutes, of the network from both.

Each exists for an interval of all VENs, and for single minutes that got late readings. The fragments are constants of
this file, so nothing that users send becomes SQL.
"""

from typing import NamedTuple

from schemas.tables.buckets import Granularity

_AGGREGATES = """
    samples, used_samples, used_sum, used_min, used_max, shed_samples, shed_sum, shed_min, shed_max,
    event_id, requested_reduction_kw
"""
_COLUMNS = [name.strip() for name in _AGGREGATES.split(",")]
_OVERWRITE = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)

# Power below a microwatt is left out: PostgreSQL raises "underflow" for the mean of the smallest floats.
_FROM_READINGS = """
    count(*) AS samples,
    count(used_power_kw) AS used_samples,
    COALESCE(sum(used_power_kw) FILTER (WHERE abs(used_power_kw) >= 1e-9), 0) AS used_sum,
    min(used_power_kw) AS used_min, max(used_power_kw) AS used_max,
    count(shed_power_kw) AS shed_samples,
    COALESCE(sum(shed_power_kw) FILTER (WHERE abs(shed_power_kw) >= 1e-9), 0) AS shed_sum,
    min(shed_power_kw) AS shed_min, max(shed_power_kw) AS shed_max,
    (array_agg(event_id ORDER BY time DESC) FILTER (WHERE event_id IS NOT NULL))[1] AS event_id,
    (array_agg(requested_reduction_kw ORDER BY time DESC)
        FILTER (WHERE requested_reduction_kw IS NOT NULL))[1] AS requested_reduction_kw
"""
_FROM_MINUTES = """
    sum(samples) AS samples,
    sum(used_samples) AS used_samples, sum(used_sum) AS used_sum, min(used_min) AS used_min, max(used_max) AS used_max,
    sum(shed_samples) AS shed_samples, sum(shed_sum) AS shed_sum, min(shed_min) AS shed_min, max(shed_max) AS shed_max,
    (array_agg(event_id ORDER BY time DESC) FILTER (WHERE event_id IS NOT NULL))[1] AS event_id,
    (array_agg(requested_reduction_kw ORDER BY time DESC)
        FILTER (WHERE requested_reduction_kw IS NOT NULL))[1] AS requested_reduction_kw
"""


class _ExtraColumn(NamedTuple):
    """A column beside the aggregates, as text for each part of a statement."""

    column: str = ""
    value: str = ""
    overwrite: str = ""


_NO_COLUMN = _ExtraColumn()
# Each computation of a minute gets a higher version than the last.
_VERSION = _ExtraColumn(", version", ", nextval('telemetry_minute_versions')", ", version = excluded.version")


def _roll_up(table: str, source: str, aggregates: str, width: str, extra: _ExtraColumn = _NO_COLUMN) -> str:
    return f"""
        INSERT INTO {table} (ven_id, time, {_AGGREGATES}{extra.column})
        SELECT ven_id, date_bin('{width}', time, 'epoch') AS bucket, {aggregates}{extra.value}
        FROM {source} WHERE time >= $1 AND time < $2
        GROUP BY ven_id, bucket
        ORDER BY bucket
        ON CONFLICT (ven_id, time) DO UPDATE SET {_OVERWRITE}{extra.overwrite}
    """  # noqa: S608 - constants of this file


def _recompute(table: str, source: str, aggregates: str, width: str, extra: _ExtraColumn = _NO_COLUMN) -> str:
    return f"""
        INSERT INTO {table} (ven_id, time, {_AGGREGATES}{extra.column})
        SELECT late.ven_id, late.bucket, computed.*
        FROM unnest($1::text[], $2::timestamptz[]) AS late(ven_id, bucket)
        CROSS JOIN LATERAL (
            SELECT {aggregates}{extra.value} FROM {source}
            WHERE ven_id = late.ven_id AND time >= late.bucket AND time < late.bucket + interval '{width}'
        ) AS computed
        WHERE computed.samples > 0
        ON CONFLICT (ven_id, time) DO UPDATE SET {_OVERWRITE}{extra.overwrite}
    """  # noqa: S608 - constants of this file


ROLL_UP_MINUTES = _roll_up("telemetry_minutes", "telemetry_readings", _FROM_READINGS, "1 minute", _VERSION)
ROLL_UP_HOURS = _roll_up("telemetry_hours", "telemetry_minutes", _FROM_MINUTES, "1 hour")
RECOMPUTE_MINUTES = _recompute("telemetry_minutes", "telemetry_readings", _FROM_READINGS, "1 minute", _VERSION)
RECOMPUTE_HOURS = _recompute("telemetry_hours", "telemetry_minutes", _FROM_MINUTES, "1 hour")


def _network(ven_means: str) -> str:
    """Compute buckets of the network: the sum over VENs of their means."""
    return f"""
        INSERT INTO network_buckets (granularity, time, used_power_kw, shed_power_kw, vens)
        SELECT $1, bucket, sum(used), sum(shed), count(*)
        FROM ({ven_means}) AS vens GROUP BY bucket
        ON CONFLICT (granularity, time) DO UPDATE SET
            used_power_kw = excluded.used_power_kw, shed_power_kw = excluded.shed_power_kw, vens = excluded.vens
    """  # noqa: S608 - constants of this file


_MEANS_OF_SAMPLES = """
    SELECT ven_id, date_bin($4::interval, time, 'epoch') AS bucket,
           avg(used_power_kw) AS used, avg(shed_power_kw) AS shed
    FROM telemetry_readings WHERE time >= $2 AND time < $3 GROUP BY ven_id, bucket
"""
_MEANS_OF_ROLLUPS = """
    SELECT ven_id, date_bin($4::interval, time, 'epoch') AS bucket,
           sum(used_sum) / NULLIF(sum(used_samples), 0) AS used, sum(shed_sum) / NULLIF(sum(shed_samples), 0) AS shed
    FROM {table} WHERE time >= $2 AND time < $3 GROUP BY ven_id, bucket
"""
COMPUTE_NETWORK: dict[Granularity, str] = {
    "30s": _network(_MEANS_OF_SAMPLES),
    "5m": _network(_MEANS_OF_ROLLUPS.format(table="telemetry_minutes")),
    "1h": _network(_MEANS_OF_ROLLUPS.format(table="telemetry_hours")),
    "1d": _network(_MEANS_OF_ROLLUPS.format(table="telemetry_hours")),
}
