"""Encodes load rows in the binary format of COPY: most rows are loads, and encoding dominates the cost of storing.

asyncpg encodes value by value. Here one call packs all numbers of a row, and a cache holds the texts, which rarely
change. Format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

import struct
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeVar

from schemas.records.telemetry import LoadSnapshot, Reading, astuple, encode_record
from streams.store.bulk_insert import Encoded

R = TypeVar("R", Reading, LoadSnapshot)

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

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# A row starts with the number of its values; each value starts with its length in bytes, -1 for NULL.
_NULL = b"\xff\xff\xff\xff"
_LENGTH = struct.Struct("!i")
_WIDTH = struct.Struct("!h")
_BIGINT = struct.Struct("!iq")
_TIME = struct.Struct("!iq")
_FLOAT = struct.Struct("!id")
_INTEGER = struct.Struct("!ii")
_BOOL = struct.Struct("!i?")
_NUMBERS = struct.Struct("!idididiii?")
_JSONB_VERSION = b"\1"


def encode_load_rows(readings: Iterable[Reading]) -> Encoded:
    """Encode one row per load of each reading, with the columns `LOAD_COLUMNS`."""
    return _encode(readings, len(LOAD_COLUMNS), lambda _reading: b"")


def encode_snapshot_rows(snapshots: Iterable[LoadSnapshot]) -> Encoded:
    """Encode one row per load of each snapshot, with the columns `LOAD_COLUMNS` and its digest."""
    return _encode(snapshots, len(LOAD_COLUMNS) + 1, lambda snapshot: _digest(snapshot.digest))


def _encode(records: Iterable[R], columns: int, last: Callable[[R], bytes]) -> Encoded:
    """Encode rows of `columns` values; `last` encodes the values after `LOAD_COLUMNS`."""
    width = _WIDTH.pack(columns)
    pieces, rows = [_HEADER], 0
    for record in records:
        if not record.loads:
            continue
        prefix = b"%b%b%b" % (width, _text(record.ven_id), _TIME.pack(8, (record.timestamp - _EPOCH) // _MICROSECOND))
        suffix = last(record)
        for load_id, name, kind, capacity, current, sheds, enabled, priority, extra in map(astuple, record.loads):
            if capacity is None or current is None or sheds is None or priority is None:
                numbers = _numbers((capacity, current, sheds), priority, enabled=enabled)
            else:
                numbers = _NUMBERS.pack(8, capacity, 8, current, 8, sheds, 4, priority, 1, enabled)
            pieces += prefix, _text(load_id), numbers, _texts(name, kind), _json(extra) if extra else _NULL, suffix
        rows += len(record.loads)
    pieces.append(_TRAILER)
    return Encoded(b"".join(pieces), rows)


def _digest(digest: int | None) -> bytes:
    return _NULL if digest is None else _BIGINT.pack(8, digest)


@lru_cache(maxsize=100_000)
def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


@lru_cache(maxsize=100_000)
def _texts(name: str | None, kind: str | None) -> bytes:
    return _text(name) + _text(kind)


def _numbers(powers: Iterable[float | None], priority: int | None, *, enabled: bool) -> bytes:
    """Encode the columns `capacity_kw` to `enabled` if some are NULL."""
    parts = [_NULL if power is None else _FLOAT.pack(8, power) for power in powers]
    parts.append(_NULL if priority is None else _INTEGER.pack(4, priority))
    return b"".join([*parts, _BOOL.pack(1, enabled)])


def _json(value: dict[str, Any]) -> bytes:
    encoded = _JSONB_VERSION + encode_record(value)
    return _LENGTH.pack(len(encoded)) + encoded
