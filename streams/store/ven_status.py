"""Updates `ven_status`, one row per VEN with its latest values, and registers VENs at their first contact.

Measured values move forward in the time of measurement, corrected by the VEN's clock skew; receive times in receive
time. Each value has its own time, because not every reading tells it: what a reading does not tell stays as it was. A
reading wins over a load snapshot of the same time. So records may arrive late, repeatedly and in any order.
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
    (ven_id, received_at, reading_received_at, measured_at, sampled_at, clock_skew_seconds, min_clock_skew,
     max_clock_skew, used_power_at, used_power_kw, shed_power_at, shed_power_kw, shed_event_id,
     event_at, event_id, requested_reduction_kw, battery_soc_at, battery_soc, loads_measured_at, loads)
SELECT ven_id, received_at, received_at, measured_at, sampled_at, clock_skew_seconds, min_clock_skew,
       max_clock_skew, used_power_at, used_power_kw, shed_power_at, shed_power_kw, shed_event_id,
       event_at, event_id, requested_reduction_kw, battery_soc_at, battery_soc, loads_measured_at, loads
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::float8[], $6::float8[],
            $7::float8[], $8::timestamptz[], $9::float8[], $10::timestamptz[], $11::float8[], $12::text[],
            $13::timestamptz[], $14::text[], $15::float8[], $16::timestamptz[], $17::float8[], $18::timestamptz[],
            $19::json[])
    AS fresh(ven_id, received_at, measured_at, sampled_at, clock_skew_seconds, min_clock_skew, max_clock_skew,
             used_power_at, used_power_kw, shed_power_at, shed_power_kw, shed_event_id,
             event_at, event_id, requested_reduction_kw, battery_soc_at, battery_soc, loads_measured_at, loads)
ON CONFLICT (ven_id) DO UPDATE SET
    received_at = GREATEST(known.received_at, excluded.received_at),
    reading_received_at = GREATEST(known.reading_received_at, excluded.reading_received_at),
    measured_at = CASE WHEN known.sampled_at >= excluded.sampled_at
        THEN known.measured_at ELSE excluded.measured_at END,
    clock_skew_seconds = CASE WHEN known.sampled_at >= excluded.sampled_at
        THEN known.clock_skew_seconds ELSE excluded.clock_skew_seconds END,
    sampled_at = GREATEST(known.sampled_at, excluded.sampled_at),
    min_clock_skew = LEAST(known.min_clock_skew, excluded.min_clock_skew),
    max_clock_skew = GREATEST(known.max_clock_skew, excluded.max_clock_skew),
    used_power_kw = CASE WHEN known.used_power_at >= excluded.used_power_at OR excluded.used_power_at IS NULL
        THEN known.used_power_kw ELSE excluded.used_power_kw END,
    used_power_at = GREATEST(known.used_power_at, excluded.used_power_at),
    shed_power_kw = CASE WHEN known.shed_power_at >= excluded.shed_power_at OR excluded.shed_power_at IS NULL
        THEN known.shed_power_kw ELSE excluded.shed_power_kw END,
    shed_event_id = CASE WHEN known.shed_power_at >= excluded.shed_power_at OR excluded.shed_power_at IS NULL
        THEN known.shed_event_id ELSE excluded.shed_event_id END,
    shed_power_at = GREATEST(known.shed_power_at, excluded.shed_power_at),
    event_id = CASE WHEN known.event_at >= excluded.event_at OR excluded.event_at IS NULL
        THEN known.event_id ELSE excluded.event_id END,
    requested_reduction_kw = CASE WHEN known.event_at >= excluded.event_at OR excluded.event_at IS NULL
        THEN known.requested_reduction_kw ELSE excluded.requested_reduction_kw END,
    event_at = GREATEST(known.event_at, excluded.event_at),
    battery_soc = CASE WHEN known.battery_soc_at >= excluded.battery_soc_at OR excluded.battery_soc_at IS NULL
        THEN known.battery_soc ELSE excluded.battery_soc END,
    battery_soc_at = GREATEST(known.battery_soc_at, excluded.battery_soc_at),
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
    latest = max(readings, key=_corrected_time)
    used = _latest(reading for reading in readings if reading.used_power_kw is not None)
    shed = _latest(reading for reading in readings if reading.shed_power_kw is not None)
    stated = _latest(reading for reading in readings if reading.states_shedding)
    battery = _latest(reading for reading in readings if reading.battery_soc is not None)
    with_loads = _latest(reading for reading in readings if reading.loads is not None)
    skews = [reading.clock_skew_seconds for reading in readings]
    return (
        ven_id,
        _last_received(readings),
        latest.timestamp,
        latest.corrected_time,
        latest.clock_skew_seconds,
        min(0.0, *skews),
        max(0.0, *skews),
        *((None, None) if used is None else (used.corrected_time, used.used_power_kw)),
        *((None, None, None) if shed is None else (shed.corrected_time, shed.shed_power_kw, shed.event_id)),
        *(
            (None, None, None)
            if stated is None
            else (stated.corrected_time, stated.event_id, stated.requested_reduction_kw)
        ),
        *((None, None) if battery is None else (battery.corrected_time, battery.battery_soc)),
        *((None, None) if with_loads is None else _time_and_loads(with_loads)),
    )


def _latest(readings: Iterable[Reading]) -> Reading | None:
    """Return the latest reading; of several with the same time the first."""
    return max(readings, key=_corrected_time, default=None)


def _loads_row(ven_id: str, snapshots: list[Any]) -> Row:
    return (ven_id, _last_received(snapshots), *_time_and_loads(max(snapshots, key=_corrected_time)))


def _time_and_loads(record: Any) -> tuple[datetime, str]:
    return record.corrected_time, encode_record(record.loads).decode()


def _status_row(ven_id: str, statuses: list[VenStatus]) -> Row:
    latest = max(statuses, key=lambda status: status.received_at)
    wills = [status.received_at for status in statuses if status.status == OFFLINE]
    return (ven_id, latest.received_at, latest.received_at, latest.status, max(wills, default=None))


def _last_received(records: Iterable[Any]) -> datetime:
    last: datetime = max(record.received_at for record in records)
    return last


def _corrected_time(record: Any) -> datetime:
    corrected_time: datetime = record.corrected_time
    return corrected_time
