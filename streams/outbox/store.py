"""The rows of the outbox in PostgreSQL: pending ones, and the deletion of those that were published."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import asyncpg

from runtime.database import Connection
from schemas.tables.outbox import OutboxKind

# From the beginning each time: a transaction with lower ids may commit after one with higher ids.
PENDING = "SELECT id, key, time FROM outbox WHERE kind = $1 ORDER BY id LIMIT $2"
# By id, not up to the last id, for the same reason.
DELETE = "DELETE FROM outbox WHERE kind = $1 AND id = ANY ($2)"

COUNTED_ROWS = 100_000
BACKLOG = """
SELECT count(*) AS rows, COALESCE(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_seconds
FROM (SELECT created_at FROM outbox WHERE kind = $1 ORDER BY id LIMIT $2) AS pending
"""


class Reference(NamedTuple):
    """The primary key of the row to publish; `time` is None where the key alone identifies it."""

    key: str
    time: datetime | None


async def fetch_pending(connection: Connection, kind: OutboxKind, limit: int) -> list[asyncpg.Record]:
    """Return the first pending rows of a kind in the order of publication: `id`, `key`, `time`."""
    return await connection.fetch(PENDING, kind, limit)


async def delete_published(connection: Connection, kind: OutboxKind, ids: Iterable[int]) -> None:
    """Delete rows that Kafka has confirmed."""
    await connection.execute(DELETE, kind, list(ids))


async def measure_backlog(connection: Connection, kind: OutboxKind) -> tuple[int, float]:
    """Return how many rows of a kind are pending, at most COUNTED_ROWS, and the age of the oldest in seconds."""
    row = await connection.fetchrow(BACKLOG, kind, COUNTED_ROWS)
    return (0, 0.0) if row is None else (row["rows"], row["oldest_seconds"])
