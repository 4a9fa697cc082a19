"""How fresh the tables are."""

from datetime import datetime

from runtime.database import Pool

AGES = """
SELECT (SELECT max(reading_received_at) FROM ven_status) AS newest,
       (SELECT count(*) FROM dead_letters WHERE time > now() - interval '1 hour') AS letters
"""


async def fetch_ages(pool: Pool) -> tuple[datetime | None, int]:
    """Return when the newest reading was received, and how many messages of the last hour are dead letters."""
    row = await pool.fetchrow(AGES)
    return (None, 0) if row is None else (row["newest"], row["letters"])
