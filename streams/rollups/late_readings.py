"""Marks minutes for recomputation: a reading arrived after its minute was closed."""

from collections.abc import Sequence

from runtime.database import Connection
from schemas.records.telemetry import Reading
from schemas.tables.buckets import MINUTE, floor_to

# The lock makes closing the next minutes wait for this transaction. Rolling up, which takes seconds for a large fleet,
# neither waits for it nor delays it.
LATE_BEFORE = "SELECT late_before FROM rollup_progress FOR KEY SHARE"

# Updates existing rows too, so that recomputation skips them while this transaction lasts.
MARK_LATE = """
INSERT INTO rollup_late (ven_id, time)
SELECT * FROM unnest($1::text[], $2::timestamptz[])
ON CONFLICT (ven_id, time) DO UPDATE SET noted_at = now()
"""


async def mark_late_minutes(connection: Connection, readings: Sequence[Reading]) -> None:
    """Mark the closed minutes of these readings. Call it in the transaction that stores the readings."""
    late_before = await connection.fetchval(LATE_BEFORE)
    minutes = sorted(
        {
            (reading.ven_id, floor_to(reading.timestamp, MINUTE))
            for reading in readings
            if reading.timestamp < late_before
        }
    )
    if minutes:
        await connection.execute(MARK_LATE, [ven_id for ven_id, _ in minutes], [minute for _, minute in minutes])
