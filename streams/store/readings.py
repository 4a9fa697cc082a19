"""Readings and their loads as rows, the VEN's latest values, and its entry in the registry."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from runtime.database import Connection
from schemas.partitions import day_of
from schemas.readings import FaultReport, Reading, encode_record
from streams.store.copying import Insert, Row, insert_in_one_transaction
from streams.store.database import Database, json_text
from streams.store.partitions import Partitions
from streams.store.recent import RecentKeys

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
LOAD_COLUMNS = (
    "ven_id",
    "time",
    "load_id",
    "capacity_kw",
    "current_power_kw",
    "shed_capability_kw",
    "priority",
    "enabled",
    "name",
    "type",
    "extra",
)
FAULT_COLUMNS = ("ven_id", "time", "received_at", "error")


def _forward(clock: str, *columns: str) -> str:
    """Assignments that move columns forward by a clock of theirs, and never back."""
    newer = f"known.{clock} IS NULL OR excluded.{clock} > known.{clock}"
    return ", ".join(f"{name} = CASE WHEN {newer} THEN excluded.{name} ELSE known.{name} END" for name in columns)


_MEASURED = ("measured_at", "used_power_kw", "shed_power_kw", "requested_reduction_kw", "battery_soc", "event_id")

# Measured values move forward in event time, the received times in received time. Loads have a clock of their own, for
# not every reading speaks of them. RETURNING tells which VENs were never heard before.
UPSERT_STATUS = f"""
INSERT INTO ven_status AS known
    (ven_id, received_at, reading_received_at, {", ".join(_MEASURED)}, loads_measured_at, loads)
SELECT ven_id, received_at, received_at, {", ".join(_MEASURED)}, loads_measured_at, loads
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::float8[], $5::float8[], $6::float8[], $7::float8[],
            $8::text[], $9::timestamptz[], $10::jsonb[])
    AS fresh(ven_id, received_at, {", ".join(_MEASURED)}, loads_measured_at, loads)
ON CONFLICT (ven_id) DO UPDATE SET
    received_at = GREATEST(known.received_at, excluded.received_at),
    reading_received_at = GREATEST(known.reading_received_at, excluded.reading_received_at),
    {_forward("measured_at", *_MEASURED)},
    {_forward("loads_measured_at", "loads_measured_at", "loads")}
RETURNING ven_id, (xmax = 0) AS is_new
"""  # noqa: S608 - names of our own columns

UPSERT_HEARD = """
INSERT INTO ven_status AS known (ven_id, received_at)
SELECT * FROM unnest($1::text[], $2::timestamptz[])
ON CONFLICT (ven_id) DO UPDATE SET received_at = GREATEST(known.received_at, excluded.received_at)
RETURNING ven_id, (xmax = 0) AS is_new
"""

REGISTER = """
INSERT INTO vens (ven_id, name)
SELECT ven_id, 'Auto-registered VEN ' || ven_id FROM unnest($1::text[]) AS ven_id
ON CONFLICT (ven_id) DO NOTHING
"""


class ReadingStore:
    """Stores batches of readings, each in one transaction; what was stored before changes nothing."""

    def __init__(self, database: Database, partitions: Partitions) -> None:
        self._database = database
        self._partitions = partitions
        self._recent = RecentKeys()

    async def store(self, readings: Sequence[Reading]) -> None:
        """Store readings with their loads; at return they are committed.

        Raises:
            DATA_FAULTS: a value that the tables refuse.
        """
        fresh = {(reading.ven_id, reading.timestamp): reading for reading in reversed(readings)}
        fresh = {key: reading for key, reading in fresh.items() if key not in self._recent}
        inserts = (
            Insert("telemetry_readings", READING_COLUMNS, [_reading_row(reading) for reading in fresh.values()]),
            Insert("telemetry_loads", LOAD_COLUMNS, [row for reading in fresh.values() for row in _load_rows(reading)]),
        )
        status = [list(column) for column in zip(*_status_rows(readings), strict=True)]

        async def update_status(connection: Connection) -> None:
            await register(connection, await connection.fetch(UPSERT_STATUS, *status))

        days = {day_of(timestamp) for _, timestamp in fresh}
        await self._partitions.with_days(
            days, lambda: insert_in_one_transaction(self._database, inserts, update_status)
        )
        self._recent.add(fresh)


class FaultStore:
    """Stores what VENs report as wrong with themselves."""

    def __init__(self, database: Database, partitions: Partitions) -> None:
        self._database = database
        self._partitions = partitions

    async def store(self, faults: Sequence[FaultReport]) -> None:
        """Store fault reports; the errors are those of ReadingStore."""
        rows = {(fault.ven_id, fault.timestamp): _fault_row(fault) for fault in reversed(faults)}
        inserts = (Insert("ven_faults", FAULT_COLUMNS, list(rows.values())),)
        received: dict[str, datetime] = {}
        for fault in faults:
            received[fault.ven_id] = max(fault.received_at, received.get(fault.ven_id, fault.received_at))
        ven_ids = sorted(received)

        async def update_heard(connection: Connection) -> None:
            times = [received[ven_id] for ven_id in ven_ids]
            await register(connection, await connection.fetch(UPSERT_HEARD, ven_ids, times))

        days = {day_of(fault.timestamp) for fault in faults}
        await self._partitions.with_days(days, lambda: insert_in_one_transaction(self._database, inserts, update_heard))


async def register(connection: Connection, heard: Iterable[Any]) -> None:
    """Enter VENs that were never heard before in the registry, unless an operator already has."""
    new = sorted(row["ven_id"] for row in heard if row["is_new"])
    if new:
        await connection.execute(REGISTER, new)


def _status_rows(readings: Iterable[Reading]) -> Iterable[Row]:
    """Each VEN's last measured values, its last list of loads, and when it was last heard.

    Ordered by id, so that no two workers wait for each other's rows crosswise.
    """
    by_ven: dict[str, list[Reading]] = {}
    for reading in readings:
        by_ven.setdefault(reading.ven_id, []).append(reading)
    for ven_id in sorted(by_ven):
        latest = max(by_ven[ven_id], key=_measured)
        loads = max((reading for reading in by_ven[ven_id] if reading.loads is not None), key=_measured, default=None)
        yield (
            ven_id,
            max(reading.received_at for reading in by_ven[ven_id]),
            latest.timestamp,
            latest.used_power_kw,
            latest.shed_power_kw,
            latest.requested_reduction_kw,
            latest.battery_soc,
            latest.event_id,
            None if loads is None else loads.timestamp,
            None if loads is None else encode_record(loads.loads).decode(),
        )


def _measured(reading: Reading) -> datetime:
    return reading.timestamp


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


def _load_rows(reading: Reading) -> Iterable[Row]:
    for load in reading.loads or ():
        yield (
            reading.ven_id,
            reading.timestamp,
            load.id,
            load.capacity_kw,
            load.current_power_kw,
            load.shed_capability_kw,
            load.priority,
            load.enabled,
            load.name,
            load.type,
            json_text(load.extra),
        )


def _fault_row(fault: FaultReport) -> Row:
    return (fault.ven_id, fault.timestamp, fault.received_at, fault.error)
