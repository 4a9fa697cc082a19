"""Minutes from the outbox to ven.telemetry.1m."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import asyncpg

from runtime.database import Connection
from schemas.records.minutes import Minute, Power
from schemas.records.telemetry import encode_record
from streams.outbox.source import OutboxSource, OutgoingRecord, Publication
from streams.outbox.store import Reference

# The bounds let PostgreSQL skip the partitions of other days.
MINUTES = """
SELECT m.ven_id, m.time, COALESCE(m.version, 0) AS version,
       m.samples, m.used_samples, m.used_sum, m.used_min, m.used_max, m.used_kwh, m.used_covered_seconds,
       m.shed_samples, m.shed_sum, m.shed_min, m.shed_max, m.shed_kwh, m.shed_covered_seconds,
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
        used=_power(row, "used"),
        shed=_power(row, "shed"),
        event_id=row["event_id"],
        requested_reduction_kw=row["requested_reduction_kw"],
    )


def _power(row: asyncpg.Record, kind: Literal["used", "shed"]) -> Power | None:
    energy, samples = row[f"{kind}_kwh"], row[f"{kind}_samples"]
    if energy is None:
        return None
    return Power(
        samples=samples,
        mean_kw=row[f"{kind}_sum"] / samples if samples else None,
        min_kw=row[f"{kind}_min"],
        max_kw=row[f"{kind}_max"],
        energy_kwh=energy,
        covered_seconds=row[f"{kind}_covered_seconds"],
    )
