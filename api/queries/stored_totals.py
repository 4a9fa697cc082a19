"""What the live totals should be according to the stored rows."""

from datetime import datetime

import msgspec

from runtime.database import Pool
from schemas.records.network import LoadTypeTotals, NetworkTotals, Totals

# The rule of the live totals in SQL: a recent reading, no last will since, not disabled. A deleted VEN has no row.
TOTALS = """
WITH online AS MATERIALIZED (
    SELECT s.used_power_kw, s.shed_power_kw, s.loads
    FROM ven_status AS s JOIN vens AS v USING (ven_id)
    WHERE s.reading_received_at >= $1 AND s.reading_received_at > COALESCE(s.left_at, '-infinity')
        AND v.status <> 'disabled'
),
types AS (
    SELECT COALESCE(load.type, 'other') AS type,
           COALESCE(sum(load."capacityKw"), 0) AS capacity,
           COALESCE(sum(load."shedCapabilityKw"), 0) AS shed,
           COALESCE(sum(load."currentPowerKw"), 0) AS current,
           COALESCE(sum(load."currentPowerKw") FILTER (WHERE load."shedCapabilityKw" > 0), 0) AS controllable
    FROM online CROSS JOIN LATERAL json_to_recordset(online.loads)
        AS load(type text, "capacityKw" float8, "shedCapabilityKw" float8, "currentPowerKw" float8)
    GROUP BY 1
)
SELECT (SELECT count(*) FROM online) AS online_vens,
       (SELECT COALESCE(sum(used_power_kw), 0) FROM online) AS used,
       (SELECT COALESCE(sum(shed_power_kw), 0) FROM online) AS shed,
       COALESCE(sum(controllable), 0) AS controllable,
       COALESCE(sum(types.shed), 0) AS potential,
       COALESCE(jsonb_object_agg(type, jsonb_build_object('totalCapacityKw', capacity,
           'totalShedCapabilityKw', types.shed, 'currentUsageKw', current)), '{}') AS load_types
FROM types
"""

_decode_types = msgspec.json.Decoder(dict[str, LoadTypeTotals]).decode


async def fetch_totals(pool: Pool, as_of: datetime, received_since: datetime) -> NetworkTotals:
    """Return the totals of the VENs whose last reading was received since `received_since`."""
    row = await pool.fetchrow(TOTALS, received_since)
    if row is None:
        return NetworkTotals(as_of, Totals())
    totals = Totals(row["online_vens"], row["used"], row["shed"], row["controllable"], row["potential"])
    return NetworkTotals(as_of, totals, _decode_types(row["load_types"]))
