"""The last device shadow of each VEN."""

import asyncpg

from runtime.database import Pool

SHADOW = "SELECT received_at, document FROM ven_shadows WHERE ven_id = $1"


async def fetch_shadow(pool: Pool, ven_id: str) -> asyncpg.Record | None:
    """Return the document (JSON text) and when it was received, or None."""
    return await pool.fetchrow(SHADOW, ven_id)
