"""VENs with their latest values."""

import asyncpg

from runtime.database import Pool

# `disabled` stays until patched, a status that was given stays until the VEN is heard; then its readings and last will
# decide.
SELECT_VEN = """
SELECT v.ven_id, v.name, v.latitude, v.longitude, v.created_at, s.received_at, s.used_power_kw, s.event_id, s.loads,
       s.measured_at, s.clock_skew_seconds, s.reported_status,
       CASE WHEN v.status = 'disabled' THEN 'disabled'
            WHEN s.received_at IS NULL OR s.received_at < v.status_set_at THEN v.status
            WHEN s.reading_received_at > now() - $1::float8 * interval '1 second'
                 AND s.reading_received_at > COALESCE(s.left_at, '-infinity') THEN 'online'
            ELSE 'offline' END AS status
FROM vens AS v LEFT JOIN ven_status AS s USING (ven_id)
"""

ONE_VEN = SELECT_VEN + "WHERE v.ven_id = $2"
PAGE_OF_VENS = SELECT_VEN + "WHERE v.ven_id > $2 ORDER BY v.ven_id LIMIT $3"
VEN_EXISTS = "SELECT EXISTS (SELECT FROM vens WHERE ven_id = $1)"
COUNT_VENS = "SELECT count(*) FROM vens"


async def fetch_ven(pool: Pool, ven_id: str, offline_after: float) -> asyncpg.Record | None:
    """Return a VEN with its latest values, or None."""
    return await pool.fetchrow(ONE_VEN, offline_after, ven_id)


async def fetch_vens(pool: Pool, offline_after: float, *, after: str, limit: int) -> list[asyncpg.Record]:
    """Return VENs ordered by id, from the one after `after` on."""
    return await pool.fetch(PAGE_OF_VENS, offline_after, after, limit)


async def ven_exists(pool: Pool, ven_id: str) -> bool:
    """Tell whether the registry has the VEN."""
    return bool(await pool.fetchval(VEN_EXISTS, ven_id))


async def count_vens(pool: Pool) -> int:
    """Return how many VENs the registry has."""
    return int(await pool.fetchval(COUNT_VENS))
