"""Readings and their loads as rows, the VEN's latest values, and its entry in the registry."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from runtime.database import Connection
from schemas.readings import FaultReport, Reading
from streams.store.copying import Insert, Row, insert_in_one_transaction
from streams.store.database import Database, json_text
from streams.store.partitions import Partitions
from streams.store.recent import RecentKeys

_encode = msgspec.json.Encoder().encode

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

# Measured values move only forward in event time, the received times only forward in received time. A reading that says
# nothing about its loads leaves the known ones. RETURNING tells which VENs were never heard before.
UPSERT_STATUS = """
INSERT INTO ven_status AS known
    (ven_id, received_at, reading_received_at, measured_at, used_power_kw, shed_power_kw, requested_reduction_kw,
     battery_soc, event_id, loads)
SELECT ven_id, received_at, received_at, measured_at, used_power_kw, shed_power_kw, requested_reduction_kw,
       battery_soc, event_id, loads
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::float8[], $5::float8[], $6::float8[],
            $7::float8[], $8::text[], $9::jsonb[])
    AS fresh(ven_id, received_at, measured_at, used_power_kw, shed_power_kw, requested_reduction_kw, battery_soc,
             event_id, loads)
ON CONFLICT (ven_id) DO UPDATE SET
    received_at = GREATEST(known.received_at, excluded.received_at),
    reading_received_at = GREATEST(known.reading_received_at, excluded.reading_received_at),
    (measured_at, used_power_kw, shed_power_kw, requested_reduction_kw, battery_soc, event_id, loads) = (
        SELECT newer.measured_at, newer.used_power_kw, newer.shed_power_kw, newer.requested_reduction_kw,
               newer.battery_soc, newer.event_id, COALESCE(newer.loads, known.loads)
        FROM (SELECT excluded.*) AS newer
        WHERE known.measured_at IS NULL OR newer.measured_at > known.measured_at
        UNION ALL
        SELECT known.measured_at, known.used_power_kw, known.shed_power_kw, known.requested_reduction_kw,
               known.battery_soc, known.event_id, known.loads
        WHERE excluded.measured_at <= known.measured_at
    )
RETURNING ven_id, (xmax = 0) AS is_new
"""

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
            asyncpg.DataError, asyncpg.IntegrityConstraintViolationError: a value that the tables refuse.
        """
        fresh = {(reading.ven_id, reading.timestamp): reading for reading in reversed(readings)}
        fresh = {key: reading for key, reading in fresh.items() if key not in self._recent}
        await self._partitions.ensure({timestamp.date() for _, timestamp in fresh})
        inserts = (
            Insert("telemetry_readings", READING_COLUMNS, [_reading_row(reading) for reading in fresh.values()]),
            Insert("telemetry_loads", LOAD_COLUMNS, [row for reading in fresh.values() for row in _load_rows(reading)]),
        )
        latest = _latest_of_each(readings)

        async def update_status(connection: Connection) -> None:
            columns = [list(column) for column in zip(*(_status_row(*entry) for entry in latest), strict=True)]
            heard = await connection.fetch(UPSERT_STATUS, *columns)
            await register(connection, heard)

        await insert_in_one_transaction(self._database, inserts, update_status)
        self._recent.add(fresh)


class FaultStore:
    """Stores what VENs report as wrong with themselves."""

    def __init__(self, database: Database, partitions: Partitions) -> None:
        self._database = database
        self._partitions = partitions

    async def store(self, faults: Sequence[FaultReport]) -> None:
        """Store fault reports; the errors are those of ReadingStore."""
        rows = {(fault.ven_id, fault.timestamp): _fault_row(fault) for fault in reversed(faults)}
        await self._partitions.ensure({fault.timestamp.date() for fault in faults})
        received: dict[str, datetime] = {}
        for fault in faults:
            received[fault.ven_id] = max(fault.received_at, received.get(fault.ven_id, fault.received_at))
        ven_ids = sorted(received)

        async def update_heard(connection: Connection) -> None:
            heard = await connection.fetch(UPSERT_HEARD, ven_ids, [received[ven_id] for ven_id in ven_ids])
            await register(connection, heard)

        inserts = (Insert("ven_faults", FAULT_COLUMNS, list(rows.values())),)
        await insert_in_one_transaction(self._database, inserts, update_heard)


async def register(connection: Connection, heard: Iterable[Any]) -> None:
    """Enter VENs that were never heard before in the registry, unless an operator already has."""
    new = sorted(row["ven_id"] for row in heard if row["is_new"])
    if new:
        await connection.execute(REGISTER, new)


def _latest_of_each(readings: Iterable[Reading]) -> list[tuple[Reading, datetime]]:
    """Return each VEN's last measured reading and when it was last heard.

    Ordered by id, so that no two workers wait for each other's rows crosswise.
    """
    latest: dict[str, tuple[Reading, datetime]] = {}
    for reading in readings:
        known, heard = latest.get(reading.ven_id, (reading, reading.received_at))
        newer = reading if reading.timestamp > known.timestamp else known
        latest[reading.ven_id] = (newer, max(heard, reading.received_at))
    return [latest[ven_id] for ven_id in sorted(latest)]


def _status_row(reading: Reading, heard: datetime) -> Row:
    return (
        reading.ven_id,
        heard,
        reading.timestamp,
        reading.used_power_kw,
        reading.shed_power_kw,
        reading.requested_reduction_kw,
        reading.battery_soc,
        reading.event_id,
        None if reading.loads is None else _encode(reading.loads).decode(),
    )


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
        json_text(reading.extra, _encode),
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
            json_text(load.extra, _encode),
        )


def _fault_row(fault: FaultReport) -> Row:
    return (fault.ven_id, fault.timestamp, fault.received_at, fault.error)
