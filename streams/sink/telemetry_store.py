"""The stores of readings, load snapshots and fault reports."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from hashlib import blake2b

from runtime.database import Connection
from schemas.records.telemetry import FaultReport, LoadSnapshot, Reading
from streams.rollups.late_readings import mark_late_minutes
from streams.sink.copy_encoding import LOAD_COLUMNS, encode_load_rows, encode_snapshot_rows
from streams.store.bulk_insert import Row
from streams.store.database import Database, json_text
from streams.store.day_partitions import DayPartitions
from streams.store.row_store import RowStore, TableRows
from streams.store.ven_status import record_contact, record_loads, record_readings

READING_COLUMNS = (
    "ven_id",
    "time",
    "received_at",
    "used_power_kw",
    "shed_power_kw",
    "requested_reduction_kw",
    "baseline_power_kw",
    "battery_soc",
    "panel_amperage_rating",
    "panel_voltage",
    "panel_max_kw",
    "current_amps",
    "panel_utilization_percent",
    "message_num",
    "event_id",
    "extra",
    "digest",
    "clock_skew_seconds",
)
SNAPSHOT_COLUMNS = (*LOAD_COLUMNS, "digest")
FAULT_COLUMNS = ("ven_id", "time", "digest", "received_at", "error")

# The bounds of `time` prune partitions.
READING_DIGESTS = """
SELECT ven_id, time, digest
FROM unnest($1::text[], $2::timestamptz[]) AS wanted(ven_id, time) JOIN telemetry_readings USING (ven_id, time)
WHERE time BETWEEN $3 AND $4
"""
SNAPSHOT_DIGESTS = """
SELECT DISTINCT ven_id, time, digest
FROM unnest($1::text[], $2::timestamptz[]) AS wanted(ven_id, time) JOIN load_snapshots USING (ven_id, time)
WHERE time BETWEEN $3 AND $4
"""


def reading_store(database: Database, partitions: DayPartitions) -> RowStore[Reading]:
    """Store readings and their loads."""
    tables: tuple[TableRows[Reading], ...] = (
        TableRows("telemetry_readings", READING_COLUMNS, _reading_rows),
        TableRows("telemetry_loads", LOAD_COLUMNS, encode_load_rows),
    )
    return RowStore(database, partitions, tables, _update, stored_digests=partial(_digests, statement=READING_DIGESTS))


async def _update(connection: Connection, readings: Sequence[Reading]) -> None:
    await record_readings(connection, readings)
    await mark_late_minutes(connection, readings)


def snapshot_store(database: Database, partitions: DayPartitions) -> RowStore[LoadSnapshot]:
    """Store load snapshots; one without loads has no row, so only this process knows its key."""
    rows: TableRows[LoadSnapshot] = TableRows("load_snapshots", SNAPSHOT_COLUMNS, encode_snapshot_rows)
    digests = partial(_digests, statement=SNAPSHOT_DIGESTS)
    return RowStore(database, partitions, (rows,), record_loads, stored_digests=digests)


async def _digests(
    connection: Connection, records: Sequence[Reading | LoadSnapshot], statement: str
) -> Mapping[tuple[str, datetime], int | None]:
    ven_ids, times = [record.ven_id for record in records], [record.timestamp for record in records]
    if not records:
        return {}
    rows = await connection.fetch(statement, ven_ids, times, min(times), max(times))
    return {(row["ven_id"], row["time"]): row["digest"] for row in rows}


def fault_store(database: Database, partitions: DayPartitions) -> RowStore[FaultReport]:
    """Store fault reports; reports of the same time with different errors are different rows."""
    rows = TableRows("ven_faults", FAULT_COLUMNS, _fault_rows)
    return RowStore(
        database, partitions, (rows,), record_contact, key=lambda fault: (fault.ven_id, fault.timestamp, fault.error)
    )


def _reading_rows(readings: Iterable[Reading]) -> list[Row]:
    return [_reading_row(reading) for reading in readings]


def _reading_row(reading: Reading) -> Row:
    return (
        reading.ven_id,
        reading.timestamp,
        reading.received_at,
        reading.used_power_kw,
        reading.shed_power_kw,
        reading.requested_reduction_kw,
        reading.baseline_power_kw,
        reading.battery_soc,
        reading.panel_amperage_rating,
        reading.panel_voltage,
        reading.panel_max_kw,
        reading.current_amps,
        reading.panel_utilization_percent,
        reading.message_num,
        reading.event_id,
        json_text(reading.extra),
        reading.digest,
        reading.clock_skew_seconds or None,
    )


def _fault_rows(faults: Iterable[FaultReport]) -> list[Row]:
    return [_fault_row(fault) for fault in faults]


def _fault_row(fault: FaultReport) -> Row:
    digest = blake2b(fault.error.encode(), digest_size=8).hexdigest()
    return (fault.ven_id, fault.timestamp, digest, fault.received_at, fault.error)
