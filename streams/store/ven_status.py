"""The latest of each VEN in ven_status, and its entry in the registry when it is heard for the first time.

Measured values move forward in event time, received times in received time; loads have a clock of their own, for not
every reading speaks of them. Of a reading and a snapshot of the same time the reading counts. So messages may come
late, twice and in any order.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from runtime.database import Connection
from schemas.parsing.status import OFFLINE, VenStatus
from schemas.records.telemetry import Reading, encode_record
from streams.store.bulk_insert import Row


def _forward(clock: str, *columns: str, newer: str = ">") -> str:
    """Assignments that move columns forward by a clock of theirs, and never back."""
    newer = f"known.{clock} IS NULL OR excluded.{clock} {newer} known.{clock}"
    return ", ".join(f"{name} = CASE WHEN {newer} THEN excluded.{name} ELSE known.{name} END" for name in columns)


_MEASURED = (
    "measured_at",
    "used_power_kw",
    "shed_power_kw",
    "requested_reduction_kw",
    "battery_soc",
    "event_id",
    "clock_skew_seconds",
)
_LOADS = ("loads_measured_at", "loads")
_RECEIVED = "received_at = GREATEST(known.received_at, excluded.received_at)"
# Tells which VENs were never heard before.
_RETURNING = "RETURNING ven_id, (xmax = 0) AS is_new"

UPSERT_MEASURED = f"""
INSERT INTO ven_status AS known
    (ven_id, received_at, reading_received_at, {", ".join(_MEASURED)}, {", ".join(_LOADS)})
SELECT ven_id, received_at, received_at, {", ".join(_MEASURED)}, {", ".join(_LOADS)}
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::float8[], $5::float8[], $6::float8[], $7::float8[],
            $8::text[], $9::float8[], $10::timestamptz[], $11::json[])
    AS fresh(ven_id, received_at, {", ".join(_MEASURED)}, {", ".join(_LOADS)})
ON CONFLICT (ven_id) DO UPDATE SET
    {_RECEIVED},
    reading_received_at = GREATEST(known.reading_received_at, excluded.reading_received_at),
    {_forward("measured_at", *_MEASURED)},
    {_forward("loads_measured_at", *_LOADS, newer=">=")}
{_RETURNING}
"""  # noqa: S608 - names of our own columns

UPSERT_LOADS = f"""
INSERT INTO ven_status AS known (ven_id, received_at, {", ".join(_LOADS)})
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::json[])
ON CONFLICT (ven_id) DO UPDATE SET {_RECEIVED}, {_forward("loads_measured_at", *_LOADS)}
{_RETURNING}
"""  # noqa: S608 - names of our own columns

UPSERT_SAID = f"""
INSERT INTO ven_status AS known (ven_id, received_at, reported_at, reported_status, left_at)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::timestamptz[])
ON CONFLICT (ven_id) DO UPDATE SET
    {_RECEIVED},
    {_forward("reported_at", "reported_at", "reported_status")},
    left_at = GREATEST(known.left_at, excluded.left_at)
{_RETURNING}
"""  # noqa: S608 - names of our own columns

UPSERT_HEARD = f"""
INSERT INTO ven_status AS known (ven_id, received_at)
SELECT * FROM unnest($1::text[], $2::timestamptz[])
ON CONFLICT (ven_id) DO UPDATE SET {_RECEIVED}
{_RETURNING}
"""  # noqa: S608 - names of our own columns

REGISTER = """
INSERT INTO vens (ven_id, name)
SELECT ven_id, 'Auto-registered VEN ' || ven_id FROM unnest($1::text[]) AS ven_id
ON CONFLICT (ven_id) DO NOTHING
"""


async def record_readings(connection: Connection, readings: Sequence[Reading]) -> None:
    """Take in what readings say."""
    await _upsert(connection, UPSERT_MEASURED, readings, _measured_row)


async def record_loads(connection: Connection, snapshots: Sequence[Any]) -> None:
    """Take in what load snapshots say."""
    await _upsert(connection, UPSERT_LOADS, snapshots, _listed_row)


async def record_status(connection: Connection, statuses: Sequence[VenStatus]) -> None:
    """Take in what VENs say of themselves."""
    await _upsert(connection, UPSERT_SAID, statuses, _said_row)


async def record_contact(connection: Connection, records: Sequence[Any]) -> None:
    """Note that VENs were heard, by records of any kind that name one."""
    await _upsert(connection, UPSERT_HEARD, records, lambda ven_id, mine: (ven_id, _last_received(mine)))


async def _upsert(
    connection: Connection, statement: str, records: Iterable[Any], row_of: Callable[[str, list[Any]], Row]
) -> None:
    """One row a VEN, ordered by id, so that no two workers wait for each other's rows crosswise."""
    by_ven: dict[str, list[Any]] = {}
    for record in records:
        if record.ven_id is not None:
            by_ven.setdefault(record.ven_id, []).append(record)
    if not by_ven:
        return
    rows = [row_of(ven_id, by_ven[ven_id]) for ven_id in sorted(by_ven)]
    known = await connection.fetch(statement, *(list(column) for column in zip(*rows, strict=True)))
    new = sorted(row["ven_id"] for row in known if row["is_new"])
    if new:
        # Unless an operator already has.
        await connection.execute(REGISTER, new)


def _measured_row(ven_id: str, readings: list[Reading]) -> Row:
    latest = max(readings, key=_measured_at)
    loads = max((reading for reading in readings if reading.loads is not None), key=_measured_at, default=None)
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
        *((None, None) if loads is None else _loads_of(loads)),
    )


def _listed_row(ven_id: str, snapshots: list[Any]) -> Row:
    return (ven_id, _last_received(snapshots), *_loads_of(max(snapshots, key=_measured_at)))


def _loads_of(record: Any) -> tuple[datetime, str]:
    return record.timestamp, encode_record(record.loads).decode()


def _said_row(ven_id: str, statuses: list[VenStatus]) -> Row:
    last = max(statuses, key=lambda status: status.received_at)
    wills = [status.received_at for status in statuses if status.status == OFFLINE]
    return (ven_id, last.received_at, last.received_at, last.status, max(wills, default=None))


def _last_received(records: Iterable[Any]) -> datetime:
    last: datetime = max(record.received_at for record in records)
    return last


def _measured_at(record: Any) -> datetime:
    moment: datetime = record.timestamp
    return moment
