"""VENs with their latest values."""

import asyncpg

from runtime.database import Pool, PooledConnection

# `asked` is what loads were set to after the VEN last reported them, newest first. `curtailed` is of the last event
# that the VEN accepted, while it reports that event; no event lasts longer than eight days.
SELECT_VEN = """
SELECT v.ven_id, v.name, v.latitude, v.longitude, v.created_at, s.received_at, s.used_power_kw, s.event_id, s.loads,
       s.measured_at, s.clock_skew_seconds, s.reported_status, v.report_interval_seconds,
       v.max_power_kw,
       ven_presence(v, s, $1) AS status,
       ARRAY(SELECT c.payload -> 'data' FROM commands AS c
             WHERE c.ven_id = v.ven_id AND c.op = 'setLoad' AND c.created_at > s.loads_measured_at
             ORDER BY c.created_at DESC LIMIT 100) AS asked,
       CASE WHEN s.event_id IS NOT NULL THEN (
           SELECT CASE WHEN s.event_id IN (last.event_id, last.said) THEN last.circuits END
           FROM (SELECT c.event_id, a.event_id AS said, a.circuits
                 FROM ven_acks AS a LEFT JOIN commands AS c USING (correlation_id, ven_id)
                 WHERE a.ven_id = v.ven_id AND a.op IN ('event', 'shedPanel') AND is_good_ack(a.status)
                     AND a.time > now() - interval '8 days'
                 ORDER BY a.time DESC LIMIT 1) AS last) END AS curtailed
FROM vens AS v LEFT JOIN ven_status AS s USING (ven_id)
"""

ONE_VEN = SELECT_VEN + "WHERE v.ven_id = $2"
PAGE_OF_VENS = f"""
SELECT * FROM ({SELECT_VEN}) AS ven
WHERE ven_id > $2 AND ($3::text IS NULL OR status = $3) AND ($4::text IS NULL OR ven_id ILIKE $4 OR name ILIKE $4)
ORDER BY ven_id LIMIT $5
"""  # noqa: S608 - our own text
VEN_EXISTS = "SELECT EXISTS (SELECT FROM vens WHERE ven_id = $1)"
COUNT_VENS = "SELECT count(*) FROM vens"


async def fetch_ven(pool: Pool | PooledConnection, ven_id: str, offline_after: float) -> asyncpg.Record | None:
    """Return a VEN with its latest values, or None."""
    return await pool.fetchrow(ONE_VEN, offline_after, ven_id)


async def fetch_vens(
    pool: Pool, offline_after: float, *, after: str, limit: int, status: str | None = None, q: str | None = None
) -> list[asyncpg.Record]:
    """Return VENs ordered by id, from the one after `after` on, that have a status and `q` in their id or name."""
    pattern = None if q is None else f"%{_literal(q)}%"
    return await pool.fetch(PAGE_OF_VENS, offline_after, after, status, pattern, limit)


def _literal(text: str) -> str:
    """Text that LIKE takes as it is written."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def ven_exists(pool: Pool, ven_id: str) -> bool:
    """Tell whether the registry has the VEN."""
    return bool(await pool.fetchval(VEN_EXISTS, ven_id))


async def count_vens(pool: Pool) -> int:
    """Return how many VENs the registry has."""
    return int(await pool.fetchval(COUNT_VENS))
