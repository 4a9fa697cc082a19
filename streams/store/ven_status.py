"""Updates `ven_status`, one row per VEN with its latest values, and registers VENs at their first contact.

Measured values move forward in event time, receive times in receive time. Loads have their own event time, because not
every reading contains loads; a reading wins over a load snapshot of the same time. So records may arrive late,
repeatedly and in any order.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from runtime.database import Connection
from schemas.parsing.status import OFFLINE, VenStatus
from schemas.records.telemetry import Reading, encode_record
from streams.store.bulk_insert import Row

# GREATEST ignores NULL. Each statement returns `is_new` for the VENs whose row it inserted.
UPSERT_READINGS = """
INSERT INTO ven_status AS known
    (ven_id, received_at, reading_received_at, measured_at, used_power_kw, shed_power_kw, requested_reduction_kw,
     battery_soc, event_id, clock_skew_seconds, loads_measured_at, loads)
SELECT ven_id, received_at, received_at, measured_at, used_power_kw, shed_power_kw, requested_reduction_kw,
       battery_soc, event_id, clock_skew_seconds, loads_measured_at, loads
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::float8[], $5::float8[], $6::float8[], $7::float8[],
            $8::text[], $9::float8[], $10::timestamptz[], $11::json[])
    AS fresh(ven_id, received_at, measured_at, used_power_kw, shed_power_kw, requested_reduction_kw, battery_soc,
             event_id, clock_skew_seconds, loads_measured_at, loads)
ON CONFLICT (ven_id) DO UPDATE SET
    received_at = GREATEST(known.received_at, excluded.received_at),
    reading_received_at = GREATEST(known.reading_received_at, excluded.reading_received_at),
    measured_at = GREATEST(known.measured_at, excluded.measured_at),
    used_power_kw = CASE WHEN known.measured_at >= excluded.measured_at
        THEN known.used_power_kw ELSE excluded.used_power_kw END,
    shed_power_kw = CASE WHEN known.measured_at >= excluded.measured_at
        THEN known.shed_power_kw ELSE excluded.shed_power_kw END,
    requested_reduction_kw = CASE WHEN known.measured_at >= excluded.measured_at
        THEN known.requested_reduction_kw ELSE excluded.requested_reduction_kw END,
    battery_soc = CASE WHEN known.measured_at >= excluded.measured_at
        THEN known.battery_soc ELSE excluded.battery_soc END,
    event_id = CASE WHEN known.measured_at >= excluded.measured_at THEN known.event_id ELSE excluded.event_id END,
    clock_skew_seconds = CASE WHEN known.measured_at >= excluded.measured_at
        THEN known.clock_skew_seconds ELSE excluded.clock_skew_seconds END,
    loads_measured_at = GREATEST(known.loads_measured_at, excluded.loads_measured_at),
    loads = CASE WHEN known.loads_measured_at > excluded.loads_measured_at OR excluded.loads_measured_at IS NULL
        THEN known.loads ELSE excluded.loads END
RETURNING ven_id, (xmax = 0) AS is_new
"""

UPSERT_LOADS = """
INSERT INTO ven_status AS known (ven_id, received_at, loads_measured_at, loads)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::json[])
ON CONFLICT (ven_id) DO UPDATE SET
    received_at = GREATEST(known.received_at, excluded.received_at),
    loads_measured_at = GREATEST(known.loads_measured_at, excluded.loads_measured_at),
    loads = CASE WHEN known.loads_measured_at >= excluded.loads_measured_at THEN known.loads ELSE excluded.loads END
RETURNING ven_id, (xmax = 0) AS is_new
"""

UPSERT_STATUS = """
INSERT INTO ven_status AS known (ven_id, received_at, reported_at, reported_status, left_at)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::timestamptz[])
ON CONFLICT (ven_id) DO UPDATE SET
    received_at = GREATEST(known.received_at, excluded.received_at),
    reported_at = GREATEST(known.reported_at, excluded.reported_at),
    reported_status = CASE WHEN known.reported_at >= excluded.reported_at
        THEN known.reported_status ELSE excluded.reported_status END,
    left_at = GREATEST(known.left_at, excluded.left_at)
RETURNING ven_id, (xmax = 0) AS is_new
"""

UPSERT_CONTACT = """
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


async def record_readings(connection: Connection, readings: Sequence[Reading]) -> None:
    """Update the measured values and the loads from readings."""
    await _upsert(connection, UPSERT_READINGS, readings, _reading_row)


async def record_loads(connection: Connection, snapshots: Sequence[Any]) -> None:
    """Update the loads from load snapshots."""
    await _upsert(connection, UPSERT_LOADS, snapshots, _loads_row)


async def record_status(connection: Connection, statuses: Sequence[VenStatus]) -> None:
    """Update the status that VENs report; a last will sets `left_at`."""
    await _upsert(connection, UPSERT_STATUS, statuses, _status_row)


async def record_contact(connection: Connection, records: Sequence[Any]) -> None:
    """Update when VENs were last in contact, from records of any kind; records without a VEN id are skipped."""
    await _upsert(connection, UPSERT_CONTACT, records, lambda ven_id, mine: (ven_id, _last_received(mine)))


async def _upsert(
    connection: Connection, statement: str, records: Iterable[Any], row_of: Callable[[str, list[Any]], Row]
) -> None:
    """Upsert one row per VEN, ordered by id so that two workers cannot deadlock."""
    by_ven: dict[str, list[Any]] = {}
    for record in records:
        if record.ven_id is not None:
            by_ven.setdefault(record.ven_id, []).append(record)
    if not by_ven:
        return
    rows = [row_of(ven_id, by_ven[ven_id]) for ven_id in sorted(by_ven)]
    upserted = await connection.fetch(statement, *(list(column) for column in zip(*rows, strict=True)))
    new = sorted(row["ven_id"] for row in upserted if row["is_new"])
    if new:
        # No effect on VENs that an operator has registered already.
        await connection.execute(REGISTER, new)


def _reading_row(ven_id: str, readings: list[Reading]) -> Row:
    latest = max(readings, key=_measured_at)
    with_loads = max((reading for reading in readings if reading.loads is not None), key=_measured_at, default=None)
    return (
        ven_id,
        _last_received(readings),
        latest.timestamp,
        latest.used_power_kw,
        latest.shed_power_kw,
        latest.requested_reduction_kw,
        latest.battery_soc,
        latest.event_id,
        (latest.received_at - latest.timestamp).total_seconds(),
        *((None, None) if with_loads is None else _time_and_loads(with_loads)),
    )


def _loads_row(ven_id: str, snapshots: list[Any]) -> Row:
    return (ven_id, _last_received(snapshots), *_time_and_loads(max(snapshots, key=_measured_at)))


def _time_and_loads(record: Any) -> tuple[datetime, str]:
    return record.timestamp, encode_record(record.loads).decode()


def _status_row(ven_id: str, statuses: list[VenStatus]) -> Row:
    latest = max(statuses, key=lambda status: status.received_at)
    wills = [status.received_at for status in statuses if status.status == OFFLINE]
    return (ven_id, latest.received_at, latest.received_at, latest.status, max(wills, default=None))


def _last_received(records: Iterable[Any]) -> datetime:
    last: datetime = max(record.received_at for record in records)
    return last


def _measured_at(record: Any) -> datetime:
    measured_at: datetime = record.timestamp
    return measured_at
