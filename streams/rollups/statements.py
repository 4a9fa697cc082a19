"""The SQL that computes rollups: minutes from readings, hours from minutes, the network's buckets from both."""

# $1 minute; $2 VENs, null for all; $3 ENERGY_HOLD_SECONDS.
#
# `reported` has the minute's samples, each with the time until which its powers hold; the powers that are in force when
# the minute begins, as one more row; and what is stored of this minute already, which is overwritten even if nothing is
# left of it. (A join would need estimates of CTEs, which PostgreSQL does not have.) `spans` has the seconds from each
# power to the next one of its kind.
#
# Power below a microwatt is left out of sums: PostgreSQL raises "underflow" for the smallest floats. Each computation
# of a minute gets a higher version than the last.
#
# Returns the difference to what the minute's energy was, in kWh, and the VENs for which another power, or none, is in
# force at its end: their next minute has to be computed again too. Only if VENs were given: for all VENs, the next
# minute has not been computed yet.
COMPUTE_MINUTE = """
WITH reported AS (
    SELECT r.ven_id, r.time, true AS is_sample, r.used_power_kw, r.shed_power_kw,
           r.time + make_interval(secs => hold_seconds(v.report_interval_seconds, $3)) AS used_until,
           r.time + make_interval(secs => hold_seconds(v.report_interval_seconds, $3)) AS shed_until,
           r.event_id, r.requested_reduction_kw,
           NULL::float8 AS old_used_kwh, NULL::float8 AS old_used_held_kw, NULL::timestamptz AS old_used_held_until,
           NULL::float8 AS old_shed_held_kw, NULL::timestamptz AS old_shed_held_until
    FROM telemetry_readings AS r LEFT JOIN vens AS v USING (ven_id)
    WHERE r.time >= $1::timestamptz AND r.time < $1 + interval '1 minute'
        AND ($2::text[] IS NULL OR r.ven_id = ANY($2))
    UNION ALL
    SELECT ven_id, $1, false, used_held_kw, shed_held_kw, used_held_until, shed_held_until,
           NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM telemetry_minutes
    WHERE time = $1 - interval '1 minute' AND ($2 IS NULL OR ven_id = ANY($2))
        AND COALESCE(used_held_until, shed_held_until) IS NOT NULL
    UNION ALL
    SELECT ven_id, $1, false, NULL, NULL, NULL, NULL, NULL, NULL,
           used_kwh, used_held_kw, used_held_until, shed_held_kw, shed_held_until
    FROM telemetry_minutes WHERE time = $1 AND ($2 IS NULL OR ven_id = ANY($2))
), spans AS (
    SELECT *,
           min(time) FILTER (WHERE used_power_kw IS NOT NULL) OVER later IS NULL AS is_last_used,
           min(time) FILTER (WHERE shed_power_kw IS NOT NULL) OVER later IS NULL AS is_last_shed,
           date_part('epoch', LEAST(used_until, $1 + interval '1 minute',
                     min(time) FILTER (WHERE used_power_kw IS NOT NULL) OVER later) - time) AS used_seconds,
           date_part('epoch', LEAST(shed_until, $1 + interval '1 minute',
                     min(time) FILTER (WHERE shed_power_kw IS NOT NULL) OVER later) - time) AS shed_seconds
    FROM reported
    WINDOW later AS (PARTITION BY ven_id ORDER BY time DESC, is_sample DESC
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
), computed AS (
    SELECT ven_id,
           count(*) FILTER (WHERE is_sample) AS samples,
           count(used_power_kw) FILTER (WHERE is_sample) AS used_samples,
           COALESCE(sum(used_power_kw) FILTER (WHERE is_sample AND abs(used_power_kw) >= 1e-9), 0) AS used_sum,
           min(used_power_kw) FILTER (WHERE is_sample) AS used_min,
           max(used_power_kw) FILTER (WHERE is_sample) AS used_max,
           count(shed_power_kw) FILTER (WHERE is_sample) AS shed_samples,
           COALESCE(sum(shed_power_kw) FILTER (WHERE is_sample AND abs(shed_power_kw) >= 1e-9), 0) AS shed_sum,
           min(shed_power_kw) FILTER (WHERE is_sample) AS shed_min,
           max(shed_power_kw) FILTER (WHERE is_sample) AS shed_max,
           (array_agg(event_id ORDER BY time DESC) FILTER (WHERE event_id IS NOT NULL))[1] AS event_id,
           (array_agg(requested_reduction_kw ORDER BY time DESC)
               FILTER (WHERE requested_reduction_kw IS NOT NULL))[1] AS requested_reduction_kw,
           sum(CASE WHEN abs(used_power_kw) >= 1e-9 THEN used_power_kw ELSE 0 END * used_seconds)
               FILTER (WHERE used_power_kw IS NOT NULL) / 3600 AS used_kwh,
           sum(used_seconds) FILTER (WHERE used_power_kw IS NOT NULL) AS used_covered_seconds,
           sum(CASE WHEN abs(shed_power_kw) >= 1e-9 THEN shed_power_kw ELSE 0 END * shed_seconds)
               FILTER (WHERE shed_power_kw IS NOT NULL) / 3600 AS shed_kwh,
           sum(shed_seconds) FILTER (WHERE shed_power_kw IS NOT NULL) AS shed_covered_seconds,
           max(used_power_kw) FILTER (WHERE is_last_used AND used_until > $1 + interval '1 minute') AS used_held_kw,
           max(used_until) FILTER (WHERE is_last_used AND used_power_kw IS NOT NULL
                                         AND used_until > $1 + interval '1 minute') AS used_held_until,
           max(shed_power_kw) FILTER (WHERE is_last_shed AND shed_until > $1 + interval '1 minute') AS shed_held_kw,
           max(shed_until) FILTER (WHERE is_last_shed AND shed_power_kw IS NOT NULL
                                         AND shed_until > $1 + interval '1 minute') AS shed_held_until,
           COALESCE(max(old_used_kwh), 0) AS old_used_kwh,
           max(old_used_held_kw) AS old_used_held_kw, max(old_used_held_until) AS old_used_held_until,
           max(old_shed_held_kw) AS old_shed_held_kw, max(old_shed_held_until) AS old_shed_held_until
    FROM spans GROUP BY ven_id
), stored AS (
    INSERT INTO telemetry_minutes AS m (
        ven_id, time, samples, used_samples, used_sum, used_min, used_max, shed_samples, shed_sum, shed_min, shed_max,
        event_id, requested_reduction_kw, used_kwh, used_covered_seconds, shed_kwh, shed_covered_seconds,
        used_held_kw, used_held_until, shed_held_kw, shed_held_until, version)
    SELECT c.ven_id, $1, c.samples, c.used_samples, c.used_sum, c.used_min, c.used_max,
           c.shed_samples, c.shed_sum, c.shed_min, c.shed_max, c.event_id, c.requested_reduction_kw,
           c.used_kwh, c.used_covered_seconds, c.shed_kwh, c.shed_covered_seconds,
           c.used_held_kw, c.used_held_until, c.shed_held_kw, c.shed_held_until, nextval('telemetry_minute_versions')
    FROM computed AS c
    ON CONFLICT (ven_id, time) DO UPDATE SET
        samples = excluded.samples, used_samples = excluded.used_samples, used_sum = excluded.used_sum,
        used_min = excluded.used_min, used_max = excluded.used_max, shed_samples = excluded.shed_samples,
        shed_sum = excluded.shed_sum, shed_min = excluded.shed_min, shed_max = excluded.shed_max,
        event_id = excluded.event_id, requested_reduction_kw = excluded.requested_reduction_kw,
        used_kwh = excluded.used_kwh, used_covered_seconds = excluded.used_covered_seconds,
        shed_kwh = excluded.shed_kwh, shed_covered_seconds = excluded.shed_covered_seconds,
        used_held_kw = excluded.used_held_kw, used_held_until = excluded.used_held_until,
        shed_held_kw = excluded.shed_held_kw, shed_held_until = excluded.shed_held_until, version = excluded.version
), published AS (
    INSERT INTO outbox (kind, key, time) SELECT 'minute', ven_id, $1 FROM computed
)
SELECT COALESCE(sum(COALESCE(used_kwh, 0) - old_used_kwh), 0) AS used_kwh,
       array_agg(ven_id) FILTER (
           WHERE $2 IS NOT NULL AND (used_held_kw, used_held_until, shed_held_kw, shed_held_until) IS DISTINCT FROM
                                    (old_used_held_kw, old_used_held_until, old_shed_held_kw, old_shed_held_until)
       ) AS changed_at_end
FROM computed
"""

# $1 hour; $2 VENs, null for all.
COMPUTE_HOUR = """
INSERT INTO telemetry_hours AS h (
    ven_id, time, samples, used_samples, used_sum, used_min, used_max, shed_samples, shed_sum, shed_min, shed_max,
    event_id, requested_reduction_kw, used_kwh, used_covered_seconds, shed_kwh, shed_covered_seconds)
SELECT ven_id, $1, sum(samples),
       sum(used_samples), sum(used_sum), min(used_min), max(used_max),
       sum(shed_samples), sum(shed_sum), min(shed_min), max(shed_max),
       (array_agg(event_id ORDER BY time DESC) FILTER (WHERE event_id IS NOT NULL))[1],
       (array_agg(requested_reduction_kw ORDER BY time DESC) FILTER (WHERE requested_reduction_kw IS NOT NULL))[1],
       sum(used_kwh), sum(used_covered_seconds), sum(shed_kwh), sum(shed_covered_seconds)
FROM telemetry_minutes
WHERE time >= $1::timestamptz AND time < $1 + interval '1 hour' AND ($2::text[] IS NULL OR ven_id = ANY($2))
GROUP BY ven_id
ON CONFLICT (ven_id, time) DO UPDATE SET
    samples = excluded.samples, used_samples = excluded.used_samples, used_sum = excluded.used_sum,
    used_min = excluded.used_min, used_max = excluded.used_max, shed_samples = excluded.shed_samples,
    shed_sum = excluded.shed_sum, shed_min = excluded.shed_min, shed_max = excluded.shed_max,
    event_id = excluded.event_id, requested_reduction_kw = excluded.requested_reduction_kw,
    used_kwh = excluded.used_kwh, used_covered_seconds = excluded.used_covered_seconds,
    shed_kwh = excluded.shed_kwh, shed_covered_seconds = excluded.shed_covered_seconds
"""

# $1 granularity; buckets of $4 in [$2, $3). A bucket is the sum over VENs of their means; VENs without samples in it,
# whose last power may hold on, are left out. PostgreSQL reads only the table that the granularity selects.
COMPUTE_NETWORK = """
INSERT INTO network_buckets (granularity, time, used_power_kw, shed_power_kw, vens)
SELECT $1::text, bucket, sum(used), sum(shed), count(*)
FROM (
    SELECT ven_id, date_bin($4::interval, time, 'epoch') AS bucket,
           sum(used_sum) / NULLIF(sum(used_samples), 0) AS used, sum(shed_sum) / NULLIF(sum(shed_samples), 0) AS shed
    FROM (
        SELECT ven_id, time, 1 AS samples, used_samples, used_sum, shed_samples, shed_sum
        FROM reading_sums WHERE $1::text = '30s' AND time >= $2::timestamptz AND time < $3::timestamptz
        UNION ALL
        SELECT ven_id, time, samples, used_samples, used_sum, shed_samples, shed_sum
        FROM telemetry_minutes WHERE $1 = '5m' AND time >= $2 AND time < $3
        UNION ALL
        SELECT ven_id, time, samples, used_samples, used_sum, shed_samples, shed_sum
        FROM telemetry_hours WHERE $1 IN ('1h', '1d') AND time >= $2 AND time < $3
    ) AS parts
    WHERE samples > 0
    GROUP BY ven_id, bucket
) AS vens
GROUP BY bucket
ON CONFLICT (granularity, time) DO UPDATE SET
    used_power_kw = excluded.used_power_kw, shed_power_kw = excluded.shed_power_kw, vens = excluded.vens
"""
