"""How current the stored data is."""

from datetime import datetime

from runtime.database import Pool

FRESHNESS = """
SELECT (SELECT max(reading_received_at) FROM ven_status) AS newest_reading_at,
       (SELECT count(*) FROM dead_letters WHERE time > now() - interval '1 hour') AS dead_letters
"""


async def fetch_freshness(pool: Pool) -> tuple[datetime | None, int]:
    """Return when the newest reading was received, and the number of dead letters in the last hour."""
    row = await pool.fetchrow(FRESHNESS)
    return (None, 0) if row is None else (row["newest_reading_at"], row["dead_letters"])
