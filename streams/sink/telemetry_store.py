"""The stores of readings, load snapshots and fault reports."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

from runtime.database import Connection
from schemas.records.telemetry import FaultReport, LoadSnapshot, Reading
from streams.rollups.late_readings import mark_late_minutes
from streams.sink.copy_encoding import LOAD_COLUMNS, encode_load_rows
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
)
FAULT_COLUMNS = ("ven_id", "time", "digest", "received_at", "error")


def reading_store(database: Database, partitions: DayPartitions) -> RowStore[Reading]:
    """Store readings and their loads."""
    tables: tuple[TableRows[Reading], ...] = (
        TableRows("telemetry_readings", READING_COLUMNS, _reading_rows),
        TableRows("telemetry_loads", LOAD_COLUMNS, encode_load_rows),
    )
    return RowStore(database, partitions, tables, _update)


async def _update(connection: Connection, readings: Sequence[Reading]) -> None:
    await record_readings(connection, readings)
    await mark_late_minutes(connection, readings)


def snapshot_store(database: Database, partitions: DayPartitions) -> RowStore[LoadSnapshot]:
    """Store load snapshots."""
    return RowStore(database, partitions, (TableRows("load_snapshots", LOAD_COLUMNS, encode_load_rows),), record_loads)


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
    )


def _fault_rows(faults: Iterable[FaultReport]) -> list[Row]:
    return [_fault_row(fault) for fault in faults]


def _fault_row(fault: FaultReport) -> Row:
    digest = blake2b(fault.error.encode(), digest_size=8).hexdigest()
    return (fault.ven_id, fault.timestamp, digest, fault.received_at, fault.error)
