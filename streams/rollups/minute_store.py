"""Minutes that are rolled up, on their way to the log.

A minute is read after it was committed, and noted as told after the log has it: a crash in between tells it again, the
same version with the same figures.
"""

from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from runtime.database import Connection
from schemas.records.minutes import Minute, power
from schemas.tables.buckets import MINUTE

_COLUMNS = """
    m.ven_id, m.time, COALESCE(m.version, 0) AS version, m.samples, m.used_samples, m.used_sum, m.used_min, m.used_max,
    m.shed_samples, m.shed_sum, m.shed_min, m.shed_max, m.event_id, m.requested_reduction_kw
"""
PROGRESS = "SELECT told_up_to, rolled_up_to FROM minutes_told CROSS JOIN rollup_progress"
CLOSED = f"SELECT {_COLUMNS} FROM telemetry_minutes AS m WHERE m.time >= $1 AND m.time < $2"  # noqa: S608 - our own text
TOLD = "UPDATE minutes_told SET told_up_to = $1"

CORRECTED = f"""
SELECT {_COLUMNS}
FROM (SELECT ven_id, time FROM minutes_corrected ORDER BY time, ven_id LIMIT $1) AS again
JOIN telemetry_minutes AS m USING (ven_id, time)
"""  # noqa: S608 - our own text
FORGET_CORRECTED = """
DELETE FROM minutes_corrected
WHERE (ven_id, time) IN (SELECT ven_id, time FROM minutes_corrected ORDER BY time, ven_id LIMIT $1)
"""

Send = Callable[[Sequence[Minute]], Awaitable[None]]
"""Puts minutes in the log; returns when it has them."""


async def tell_closed(connection: Connection, send: Send, most: int) -> bool:
    """Tell the next minute that was rolled up, of `most` VENs at once; returns whether there may be more.

    It is noted as told after its last piece, so a crash between two pieces tells all of it again.
    """
    progress = await connection.fetchrow(PROGRESS)
    if progress is None or progress["told_up_to"] >= progress["rolled_up_to"]:
        return False
    # One by one, also through a time of which there is nothing: to look for the next one that has rows would read all
    # that waits, again for each minute, and after a long outage of the log would not end within DB_TIMEOUT.
    begin = progress["told_up_to"]
    end = min(begin + MINUTE, progress["rolled_up_to"])
    cursor = await connection.cursor(CLOSED, begin, end)
    while rows := await cursor.fetch(most):
        await send([minute_of(row) for row in rows])
    await connection.execute(TOLD, end)
    return True


async def tell_corrected(connection: Connection, send: Send, most: int) -> bool:
    """Tell minutes that were computed again; returns whether there may be more."""
    rows = await connection.fetch(CORRECTED, most)
    if rows:
        await send([minute_of(row) for row in rows])
    return str(await connection.execute(FORGET_CORRECTED, most)) == f"DELETE {most}"


def minute_of(row: asyncpg.Record) -> Minute:
    """Make the record of a row."""
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
