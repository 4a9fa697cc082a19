"""What the loads of all online VENs add up to, by their type."""

import asyncpg

from runtime.database import Pool

LOAD_TYPES = """
SELECT COALESCE(load ->> 'type', 'other') AS type,
       COALESCE(sum((load ->> 'capacityKw')::float8), 0) AS total_capacity_kw,
       COALESCE(sum((load ->> 'shedCapabilityKw')::float8), 0) AS total_shed_capability_kw,
       COALESCE(sum((load ->> 'currentPowerKw')::float8), 0) AS current_usage_kw
FROM ven_status AS s CROSS JOIN LATERAL jsonb_array_elements(s.loads) AS load
WHERE s.reading_received_at > now() - $1::float8 * interval '1 second'
    AND s.reading_received_at > COALESCE(s.left_at, '-infinity')
GROUP BY 1
ORDER BY 1
"""


async def fetch_load_types(pool: Pool, offline_after: float) -> list[asyncpg.Record]:
    """Return one row a type; loads without one are `other`."""
    return await pool.fetch(LOAD_TYPES, offline_after)
