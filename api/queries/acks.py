"""Acknowledgements, each linked to its command by the correlation id, and through it to the event.

The command's event wins over the one that the device said, for devices make ids up.
"""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from runtime.database import Pool

# Of the first ack of each command: devices acknowledge a repeat again. A week back at most, so that older days are not
# read.
RESPONSE_TIMES = """
SELECT ven_id, avg(ms) AS ms, count(*) AS responses
FROM (SELECT a.ven_id, extract(epoch FROM min(a.received_at) - c.created_at) * 1000 AS ms,
             row_number() OVER (PARTITION BY a.ven_id ORDER BY c.created_at DESC) AS back
      FROM ven_acks AS a JOIN commands AS c USING (correlation_id, ven_id)
      WHERE a.ven_id = ANY ($1) AND c.ven_id = ANY ($1) AND a.time > now() - interval '7 days'
      GROUP BY a.ven_id, c.correlation_id, c.created_at) AS answered
WHERE back <= 10
GROUP BY ven_id
"""

ACK = """
SELECT a.ven_id, a.time, a.op, a.correlation_id, a.received_at, a.status, a.requested_shed_kw, a.actual_shed_kw,
       a.circuits, a.timed_by_arrival, c.created_at AS asked_at, COALESCE(c.op, a.op) AS asked_op,
       COALESCE(c.event_id, a.event_id) AS event_id
"""

OF_VEN = f"""
{ACK} FROM ven_acks AS a LEFT JOIN commands AS c USING (correlation_id, ven_id)
WHERE a.ven_id = $1 AND a.time >= COALESCE($2, '-infinity'::timestamptz)
    AND a.time < COALESCE($3, 'infinity'::timestamptz) AND (NOT $4 OR COALESCE(c.event_id, a.event_id) IS NOT NULL)
ORDER BY a.time DESC, a.op, a.correlation_id LIMIT $5
"""

# Two ways to an event, each by its own index and neither finding what the other does.
OF_EVENT = f"""
{ACK} FROM commands AS c JOIN ven_acks AS a USING (correlation_id, ven_id)
WHERE c.event_id = $1 AND a.time >= $2 AND a.time < $3
UNION ALL
{ACK} FROM ven_acks AS a LEFT JOIN commands AS c USING (correlation_id, ven_id)
WHERE a.event_id = $1 AND c.event_id IS NULL AND a.time >= $2 AND a.time < $3
"""

LIST_OF_EVENT = OF_EVENT + "ORDER BY time DESC, ven_id, op, correlation_id LIMIT $4"

# One row a circuit: of the last acknowledgement that speaks of it, for a repeat is acknowledged again.
CIRCUITS_OF_EVENT = f"""
SELECT DISTINCT ON (mine.ven_id, circuit ->> 'id')
       mine.ven_id, COALESCE(v.name, mine.ven_id) AS ven_name, mine.time, circuit
FROM ({OF_EVENT}) AS mine CROSS JOIN jsonb_array_elements(mine.circuits) AS circuit
     LEFT JOIN vens AS v ON v.ven_id = mine.ven_id
ORDER BY mine.ven_id, circuit ->> 'id', mine.time DESC
LIMIT $4
"""  # noqa: S608 - our own text


async def fetch_response_times(pool: Pool, ven_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return the mean time of a VEN's last answers (ms), and of how many; VENs without any are left out."""
    rows = await pool.fetch(RESPONSE_TIMES, ven_ids)
    return {row["ven_id"]: (round(row["ms"]), row["responses"]) for row in rows}


async def fetch_acks_of_ven(
    pool: Pool, ven_id: str, interval: tuple[datetime | None, datetime | None], limit: int, *, of_events: bool
) -> list[asyncpg.Record]:
    """Return the newest acknowledgements of a VEN in [start, end), newest first; only those of events if asked for."""
    return await pool.fetch(OF_VEN, ven_id, *interval, of_events, limit)


async def fetch_acks_of_event(
    pool: Pool, event_id: str, interval: tuple[datetime, datetime], limit: int
) -> list[asyncpg.Record]:
    """Return the newest acknowledgements of an event, newest first; `interval` bounds where they are looked for."""
    return await pool.fetch(LIST_OF_EVENT, event_id, *interval, limit)


async def fetch_circuits_of_event(
    pool: Pool, event_id: str, interval: tuple[datetime, datetime], limit: int
) -> list[asyncpg.Record]:
    """Return what circuits did in an event, ordered by VEN and circuit."""
    return await pool.fetch(CIRCUITS_OF_EVENT, event_id, *interval, limit)
