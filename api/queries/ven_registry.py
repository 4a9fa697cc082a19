"""The registry of VENs: rows that operators insert and update."""

from runtime.database import PooledConnection
from schemas.rest.vens import VenCreate, VenUpdate

INSERT = """
INSERT INTO vens (ven_id, name, latitude, longitude, status, report_interval_seconds, max_power_kw, status_set_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now())
ON CONFLICT (ven_id) DO NOTHING
RETURNING ven_id
"""

UPDATE = """
UPDATE vens SET
    name = COALESCE($2::text, name),
    latitude = COALESCE($3::float8, latitude),
    longitude = COALESCE($4::float8, longitude),
    status = COALESCE($5::text, status),
    status_set_at = CASE WHEN $5::text IS NULL THEN status_set_at ELSE now() END,
    report_interval_seconds = CASE WHEN $6 THEN $7::float8 ELSE report_interval_seconds END,
    max_power_kw = CASE WHEN $8 THEN $9::float8 ELSE max_power_kw END
WHERE ven_id = $1
RETURNING ven_id
"""

# How long samples hold depends on the interval, so the minutes of this day are computed again.
RECOMPUTE_TODAY = """
INSERT INTO rollup_late (ven_id, time)
SELECT ven_id, time FROM telemetry_minutes
WHERE ven_id = $1 AND time >= date_trunc('day', now(), 'UTC') AND samples > 0
ON CONFLICT (ven_id, time) DO UPDATE SET noted_at = rollup_late.noted_at
"""


async def insert_ven(connection: PooledConnection, ven_id: str, ven: VenCreate) -> bool:
    """Register a VEN; return False if the id is taken."""
    location = ven.location
    values = (ven.name, location.lat, location.lon, ven.status, ven.report_interval_seconds, ven.max_power_kw)
    return await connection.fetchval(INSERT, ven_id, *values) is not None


async def update_ven(connection: PooledConnection, ven_id: str, change: VenUpdate) -> bool:
    """Update the given fields; return False if there is no such VEN."""
    lat, lon = (None, None) if change.location is None else (change.location.lat, change.location.lon)
    changes_interval = "report_interval_seconds" in change.model_fields_set
    limit = ("max_power_kw" in change.model_fields_set, change.max_power_kw)
    values = (change.name, lat, lon, change.status, changes_interval, change.report_interval_seconds, *limit)
    if await connection.fetchval(UPDATE, ven_id, *values) is None:
        return False
    if changes_interval:
        await connection.execute(RECOMPUTE_TODAY, ven_id)
    return True
