"""Marks minutes for recomputation: a reading arrived after its minute was closed."""

from collections.abc import Sequence

from runtime.database import Connection
from schemas.records.telemetry import Reading
from schemas.tables.buckets import MINUTE, floor_to
from schemas.tables.rollups import LATE_BEFORE, MARK_LATE


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
