"""The arithmetic of reduction: what VENs shed over an event, weighted by time and not by samples.

They are statements for many VENs at once, which the API and the settlement of events share: so they cannot differ.
"""

REPORTED = "reported"
"""Why a VEN is in an event that was neither chosen nor told: its samples named the event."""

# The VENs whose samples name the event $1 in [$2, $3), one look into the index for each: not one for each sample.
VENS_THAT_REPORTED = """
WITH RECURSIVE reported AS (
    (SELECT ven_id FROM telemetry_readings WHERE event_id = $1 AND time >= $2 AND time < $3 ORDER BY ven_id LIMIT 1)
    UNION ALL
    SELECT (SELECT further.ven_id FROM telemetry_readings AS further
            WHERE event_id = $1 AND further.ven_id > reported.ven_id AND time >= $2 AND time < $3
            ORDER BY further.ven_id LIMIT 1)
    FROM reported WHERE ven_id IS NOT NULL
)
SELECT ven_id FROM reported WHERE ven_id IS NOT NULL
"""

# For the event $1 and the VENs $2, over [$3, $4): the energy in kWh that each did not use, and for how many seconds
# samples tell so, each for $5 seconds at most. A row for each VEN.
#
# A sample holds until the VEN's next one or the end, however long that is; before the first one it is 0. One that
# speaks of another event, or of none, is 0; one of this event that does not say what is shed is not counted. Samples of
# the last $5 seconds before the start hold, too. The time-average is the energy by the hours.
#
# Less than a microwatt is 0: of the smallest numbers PostgreSQL cannot tell the energy, and refuses the whole statement
# ("underflow").
DELIVERED = """
SELECT given.ven_id, COALESCE(held.kws, 0) / 3600 AS energy_kwh, COALESCE(held.covered, 0) AS covered_seconds
FROM unnest($2::text[]) AS given(ven_id) CROSS JOIN LATERAL (
    SELECT sum(kw * extract(epoch FROM GREATEST(next, $3) - GREATEST(time, $3))::float8) AS kws,
           sum(extract(epoch FROM GREATEST(LEAST(next, time + $5::float8 * interval '1 second'), $3)
                                  - GREATEST(time, $3))::float8) AS covered
    FROM (SELECT time, lead(time, 1, $4) OVER (ORDER BY time) AS next,
                 CASE WHEN event_id = $1 AND abs(shed_power_kw) >= 1e-9 THEN shed_power_kw ELSE 0 END AS kw
          FROM telemetry_readings
          WHERE ven_id = given.ven_id AND time >= $3::timestamptz - $5::float8 * interval '1 second'
              AND time < $4::timestamptz AND (event_id IS DISTINCT FROM $1::text OR shed_power_kw IS NOT NULL)
    ) AS samples
) AS held
"""
