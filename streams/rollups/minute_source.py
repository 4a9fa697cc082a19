"""Minutes from the outbox to ven.telemetry.1m."""

from collections.abc import Sequence
from functools import partial

import asyncpg

from runtime.database import Connection
from schemas.records.minutes import Minute, power
from schemas.records.telemetry import encode_record
from streams.outbox.source import OutboxSource, OutgoingRecord, Publication
from streams.outbox.store import Reference

# The bounds let PostgreSQL skip the partitions of other days.
MINUTES = """
SELECT m.ven_id, m.time, COALESCE(m.version, 0) AS version,
       m.samples, m.used_samples, m.used_sum, m.used_min, m.used_max,
       m.shed_samples, m.shed_sum, m.shed_min, m.shed_max,
       m.event_id, m.requested_reduction_kw
FROM unnest($1::text[], $2::timestamptz[]) AS queued(ven_id, time) JOIN telemetry_minutes AS m USING (ven_id, time)
WHERE m.time BETWEEN (SELECT min(time) FROM unnest($2) AS time) AND (SELECT max(time) FROM unnest($2) AS time)
"""


def minute_source(topic: str) -> OutboxSource:
    """Publish the minutes that were rolled up, or again, to `topic`."""
    return OutboxSource("minute", partial(_load, topic=topic))


async def _load(connection: Connection, references: Sequence[Reference], topic: str) -> Publication:
    ven_ids, times = [reference.key for reference in references], [reference.time for reference in references]
    rows = await connection.fetch(MINUTES, ven_ids, times)
    return Publication([OutgoingRecord(topic, row["ven_id"].encode(), encode_record(_minute(row))) for row in rows])


def _minute(row: asyncpg.Record) -> Minute:
    return Minute(
        ven_id=row["ven_id"],
        minute=row["time"],
        version=row["version"],
        samples=row["samples"],
        used=power(row["used_samples"], row["used_sum"], row["used_min"], row["used_max"]),
        shed=power(row["shed_samples"], row["shed_sum"], row["shed_min"], row["shed_max"]),
        event_id=row["event_id"],
        requested_reduction_kw=row["requested_reduction_kw"],
    )
