"""The clock skew of each reading, and when each told value of a VEN was measured by the gateway's clock."""

from alembic import context, op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

CORRECTED_TIME = """
CREATE FUNCTION corrected_time(measured timestamptz, clock_skew_seconds double precision)
RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN measured + COALESCE(clock_skew_seconds, 0) * interval '1 second'
"""

# The latest of a VEN's values so far had one time. Its skew was the receive time minus the time of measurement of the
# last sample alone; it is estimated anew. Loads had the VEN's time, which is corrected from now on.
TOLD_TIMES = """
ALTER TABLE ven_status
    ADD COLUMN sampled_at timestamptz, ADD COLUMN used_power_at timestamptz, ADD COLUMN shed_power_at timestamptz,
    ADD COLUMN shed_event_id text, ADD COLUMN event_at timestamptz,
    ADD COLUMN battery_soc_at timestamptz,
    ADD COLUMN min_clock_skew double precision NOT NULL DEFAULT 0,
    ADD COLUMN max_clock_skew double precision NOT NULL DEFAULT 0
"""
FILL_TOLD_TIMES = """
UPDATE ven_status SET sampled_at = measured_at, clock_skew_seconds = 0,
    used_power_at = CASE WHEN used_power_kw IS NOT NULL THEN measured_at END,
    shed_power_at = CASE WHEN shed_power_kw IS NOT NULL THEN measured_at END, shed_event_id = event_id,
    event_at = measured_at,
    battery_soc_at = CASE WHEN battery_soc IS NOT NULL THEN measured_at END
"""

# When the VEN of a command first reported its event, and first with a shed, by receive time.
FIRST_REPORT = """
CREATE FUNCTION first_report(command commands)
RETURNS TABLE (reported_at timestamptz, shed_at timestamptz) LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT min(t.received_at), min(t.received_at) FILTER (WHERE t.shed_power_kw > 0)
    FROM telemetry_readings AS t
    WHERE t.event_id = command.event_id AND t.ven_id = command.ven_id
        AND t.time > command.created_at - interval '1 day'
        AND t.received_at >= command.created_at - interval '1 second';
END
"""

# What VENs shed for events now: the last statement of each, while it holds.
REPORTED_SHEDS = """
CREATE FUNCTION reported_sheds(default_hold double precision)
RETURNS TABLE (event_id text, ven_id text, shed_kw double precision) LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT s.event_id, s.ven_id,
           CASE WHEN s.shed_event_id = s.event_id AND s.shed_power_at > own.since THEN s.shed_power_kw ELSE 0 END
    FROM ven_status AS s LEFT JOIN vens AS v ON v.ven_id = s.ven_id
         CROSS JOIN LATERAL (
             SELECT now() - hold_seconds(v.report_interval_seconds, default_hold) * interval '1 second' AS since
         ) AS own
    WHERE s.event_id IS NOT NULL AND s.event_at > own.since;
END
"""

# The VENs whose samples name an event in [begin_at, end_at): one index lookup for each VEN, not one for each sample.
# A clock is at most a day off; the bounds of `time` prune partitions.
REPORTING_VENS = """
CREATE FUNCTION reporting_vens(reported_event_id text, begin_at timestamptz, end_at timestamptz)
RETURNS TABLE (ven_id text) LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH RECURSIVE reported AS (
        (SELECT t.ven_id FROM telemetry_readings AS t
         WHERE t.event_id = reported_event_id
             AND t.time >= begin_at - interval '1 day' AND t.time < end_at + interval '1 day'
             AND corrected_time(t.time, t.clock_skew_seconds) >= begin_at
             AND corrected_time(t.time, t.clock_skew_seconds) < end_at
         ORDER BY t.ven_id LIMIT 1)
        UNION ALL
        SELECT (SELECT further.ven_id FROM telemetry_readings AS further
                WHERE further.event_id = reported_event_id AND further.ven_id > reported.ven_id
                    AND further.time >= begin_at - interval '1 day' AND further.time < end_at + interval '1 day'
                    AND corrected_time(further.time, further.clock_skew_seconds) >= begin_at
                    AND corrected_time(further.time, further.clock_skew_seconds) < end_at
                ORDER BY further.ven_id LIMIT 1)
        FROM reported WHERE reported.ven_id IS NOT NULL
    )
    SELECT reported.ven_id FROM reported WHERE reported.ven_id IS NOT NULL;
END
"""

# For each of the VENs, the energy in kWh that it did not use in [begin_at, end_at) because of an event, and for how
# many seconds its statements about shedding cover that time.
#
# A statement is a sample that tells the shed power or names an event. It holds until the VEN's next one, at most for
# hold_seconds(); all times are corrected by the VEN's clock skew. A statement of another event, or of none, counts as
# 0; one of this event without a shed power is left out. The time-average is the energy divided by the hours.
#
# Less than a microwatt is 0: PostgreSQL refuses the whole statement ("underflow") for the smallest numbers.
DELIVERED_ENERGY = """
CREATE FUNCTION delivered_energy(
    delivered_event_id text, ven_ids text[], begin_at timestamptz, end_at timestamptz, default_hold double precision
) RETURNS TABLE (ven_id text, energy_kwh double precision, covered_seconds double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT given.ven_id, COALESCE(held.kw_seconds, 0) / 3600, COALESCE(held.covered, 0)
    FROM unnest(ven_ids) AS given(ven_id)
         LEFT JOIN vens AS v ON v.ven_id = given.ven_id
         LEFT JOIN ven_status AS s ON s.ven_id = given.ven_id
         CROSS JOIN LATERAL (
             SELECT hold_seconds(v.report_interval_seconds, default_hold) * interval '1 second' AS hold,
                    COALESCE(s.min_clock_skew, 0) * interval '1 second' AS least_skew,
                    COALESCE(s.max_clock_skew, 0) * interval '1 second' AS most_skew
         ) AS own
         CROSS JOIN LATERAL (
             SELECT sum(kw * extract(epoch FROM until - since)::float8) AS kw_seconds,
                    sum(extract(epoch FROM until - since)::float8) AS covered
             FROM (SELECT GREATEST(at, begin_at) AS since, GREATEST(LEAST(next, at + own.hold), begin_at) AS until, kw
                   FROM (SELECT at, kw, lead(at, 1, end_at) OVER (ORDER BY at, time) AS next
                         FROM (SELECT t.time, corrected_time(t.time, t.clock_skew_seconds) AS at,
                                      CASE WHEN t.event_id = delivered_event_id AND abs(t.shed_power_kw) >= 1e-9
                                           THEN t.shed_power_kw ELSE 0 END AS kw
                               FROM telemetry_readings AS t
                               WHERE t.ven_id = given.ven_id
                                   -- The longest hold and a day of skew: the planner prunes partitions by constants.
                                   AND t.time >= begin_at - interval '4 days' AND t.time < end_at + interval '1 day'
                                   AND t.time >= begin_at - own.hold - own.most_skew
                                   AND t.time < end_at - own.least_skew
                                   AND (t.shed_power_kw IS NOT NULL OR t.event_id IS NOT NULL)
                                   AND (t.event_id IS DISTINCT FROM delivered_event_id OR t.shed_power_kw IS NOT NULL)
                         ) AS statements
                         WHERE at >= begin_at - own.hold AND at < end_at
                   ) AS following
             ) AS holds
         ) AS held;
END
"""

EVENT_VEN_PROGRESS = """
CREATE FUNCTION event_ven_progress(
    event_ids text[],
    computed_ven_ids text[] DEFAULT '{}',
    computed_energy_kwh double precision[] DEFAULT '{}',
    computed_covered_seconds double precision[] DEFAULT '{}',
    default_hold double precision DEFAULT 1200
) RETURNS TABLE (
    event_id text, ven_id text, status text, is_targeted boolean, is_logged boolean, is_sent boolean,
    command_state text, accepted boolean, is_lost boolean, is_shedding boolean, is_restored boolean,
    correlation_id text, response_ms double precision,
    share_kw double precision, capability_kw double precision, reason text, late boolean,
    shed_kw double precision, energy_kwh double precision, covered_seconds double precision
) LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH event AS (
        SELECT e.event_id, e.ven_ids, e.status, e.is_settled,
               extract(epoch FROM e.over_at - e.start_time)::float8 / 3600 AS hours, e.acks_from, e.acks_to
        FROM event_overview AS e WHERE e.event_id = ANY (event_ids)
    ), named AS (
        SELECT event.event_id, each.ven_id FROM event CROSS JOIN unnest(event.ven_ids) AS each(ven_id)
    ), chosen AS (
        SELECT v.event_id, v.ven_id, v.share_kw, v.capability_kw, v.reason, v.late
        FROM event_vens AS v WHERE v.event_id = ANY (event_ids)
    ), command AS (
        SELECT DISTINCT ON (c.event_id, c.ven_id)
               c.event_id, c.ven_id, c.correlation_id, command_state(c) AS state, c.reported_at, c.lost_at,
               c.acked_at IS NOT NULL OR c.reported_at IS NOT NULL OR c.sent_at IS NOT NULL AS sent,
               c.sending_at IS NOT NULL OR c.logged_at IS NOT NULL AS logged,
               extract(epoch FROM c.acked_at - c.created_at)::float8 * 1000 AS response_ms
        FROM commands AS c WHERE c.event_id = ANY (event_ids) AND c.op <> 'restore'
        ORDER BY c.event_id, c.ven_id, c.phase IS NULL, c.seq DESC
    ), restore AS (
        SELECT DISTINCT ON (c.event_id, c.ven_id)
               c.event_id, c.ven_id, command_state(c) = 'acknowledged' OR c.reported_at IS NOT NULL AS confirmed
        FROM commands AS c WHERE c.event_id = ANY (event_ids) AND c.op = 'restore'
        ORDER BY c.event_id, c.ven_id, c.phase IS NULL, c.seq DESC
    ), unsolicited AS (
        SELECT a.event_id, a.ven_id, bool_or(is_good_ack(a.status)) AS accepted
        FROM event JOIN ven_acks AS a ON a.event_id = event.event_id
                AND a.time >= event.acks_from AND a.time < event.acks_to AND a.op <> 'restore'
        WHERE NOT EXISTS (SELECT FROM commands AS c WHERE c.event_id = a.event_id AND c.ven_id = a.ven_id)
            AND NOT EXISTS (SELECT FROM commands AS c WHERE c.correlation_id = a.correlation_id
                                AND c.ven_id = a.ven_id AND c.event_id IS NOT NULL)
        GROUP BY a.event_id, a.ven_id
    ), shed AS (
        SELECT s.event_id, s.ven_id, s.shed_kw AS kw, NULL::float8 AS energy_kwh, NULL::float8 AS covered_seconds
        FROM event JOIN reported_sheds(default_hold) AS s ON s.event_id = event.event_id
        WHERE event.status = 'active'
        UNION ALL
        SELECT v.event_id, v.ven_id, v.energy_kwh / event.hours, v.energy_kwh, v.covered_seconds
        FROM event JOIN event_vens AS v ON v.event_id = event.event_id
        WHERE event.status = 'completed' AND event.is_settled AND event.hours > 0 AND v.energy_kwh IS NOT NULL
            AND cardinality(computed_ven_ids) = 0
        UNION ALL
        SELECT event.event_id, each.ven_id, each.energy_kwh / event.hours, each.energy_kwh, each.covered_seconds
        FROM event CROSS JOIN unnest(computed_ven_ids, computed_energy_kwh, computed_covered_seconds)
            AS each(ven_id, energy_kwh, covered_seconds)
        WHERE event.status = 'completed' AND event.hours > 0
    ), ven AS (
        SELECT event_id, ven_id, command.state, command.correlation_id, command.response_ms,
               named.ven_id IS NOT NULL OR command.ven_id IS NOT NULL OR COALESCE(chosen.reason <> 'reported', false)
                   AS is_targeted,
               COALESCE(command.sent OR command.logged, false) AS is_logged,
               COALESCE(command.sent, false) AS is_sent,
               command.lost_at IS NOT NULL AS is_lost,
               COALESCE(command.state = 'acknowledged', unsolicited.accepted, false) AS accepted,
               COALESCE(NOT unsolicited.accepted, false) AS refused_unsolicited,
               COALESCE(shed.kw > 0, false) AS is_shedding,
               -- A VEN that refused, never reacted or lost the event has nothing to restore, whatever it answers:
               -- devices answer a restore with success although nothing was active.
               COALESCE(restore.confirmed, false) AND command.lost_at IS NULL
                   AND (COALESCE(command.state = 'acknowledged', unsolicited.accepted, false)
                        OR command.reported_at IS NOT NULL) AS is_restored,
               chosen.share_kw, chosen.capability_kw, chosen.reason, COALESCE(chosen.late, false) AS late,
               shed.kw AS shed_kw, shed.energy_kwh, shed.covered_seconds
        FROM chosen FULL JOIN command USING (event_id, ven_id) FULL JOIN shed USING (event_id, ven_id)
             FULL JOIN restore USING (event_id, ven_id) FULL JOIN unsolicited USING (event_id, ven_id)
             FULL JOIN named USING (event_id, ven_id)
    )
    SELECT ven.event_id, ven.ven_id,
           CASE
               WHEN ven.is_restored THEN 'restored'
               -- Once it is over, a VEN that lost the event counts as lost, though it shed before.
               WHEN ven.is_shedding AND NOT (ven.is_lost AND event.status = 'completed') THEN 'shedding'
               WHEN ven.is_lost THEN 'lost'
               WHEN ven.accepted THEN 'accepted'
               WHEN ven.refused_unsolicited THEN 'refused'
               WHEN ven.state IN ('decided', 'logged', 'sending') THEN 'targeted'
               ELSE COALESCE(ven.state, 'targeted')
           END,
           ven.is_targeted, ven.is_logged, ven.is_sent, ven.state, ven.accepted, ven.is_lost, ven.is_shedding,
           ven.is_restored, ven.correlation_id, ven.response_ms, ven.share_kw, ven.capability_kw, ven.reason, ven.late,
           ven.shed_kw, ven.energy_kwh, ven.covered_seconds
    FROM ven JOIN event ON event.event_id = ven.event_id;
END
"""

EVENT_PROGRESS = """
CREATE FUNCTION event_progress(
    event_ids text[],
    computed_ven_ids text[] DEFAULT '{}',
    computed_energy_kwh double precision[] DEFAULT '{}',
    computed_covered_seconds double precision[] DEFAULT '{}',
    default_hold double precision DEFAULT 1200
) RETURNS TABLE (
    event_id text, targeted bigint, logged bigint, sent bigint, acknowledged bigint, refused bigint, expired bigint,
    unanswered bigint, lost bigint, shedding bigint, restored bigint, responding bigint, shed_kw double precision,
    covered_seconds double precision, responses bigint, mean_ms double precision, p50_ms double precision,
    p95_ms double precision
) LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT given.event_id,
           count(*) FILTER (WHERE ven.is_targeted),
           count(*) FILTER (WHERE ven.is_logged),
           count(*) FILTER (WHERE ven.is_sent),
           count(*) FILTER (WHERE ven.command_state = 'acknowledged'),
           count(*) FILTER (WHERE ven.command_state = 'refused'),
           count(*) FILTER (WHERE ven.command_state = 'expired'),
           count(*) FILTER (WHERE ven.command_state = 'unanswered'),
           count(*) FILTER (WHERE ven.is_lost),
           count(*) FILTER (WHERE ven.is_shedding),
           count(*) FILTER (WHERE ven.is_restored),
           count(*) FILTER (WHERE ven.accepted OR ven.is_shedding),
           COALESCE(sum(ven.shed_kw), 0),
           COALESCE(avg(ven.covered_seconds) FILTER (WHERE ven.share_kw IS NOT NULL), avg(ven.covered_seconds)),
           count(ven.response_ms),
           avg(ven.response_ms),
           percentile_disc(0.5) WITHIN GROUP (ORDER BY ven.response_ms),
           percentile_disc(0.95) WITHIN GROUP (ORDER BY ven.response_ms)
    FROM unnest(event_ids) AS given(event_id)
         LEFT JOIN event_ven_progress(
             event_ids, computed_ven_ids, computed_energy_kwh, computed_covered_seconds, default_hold) AS ven
             ON ven.event_id = given.event_id
    GROUP BY given.event_id;
END
"""


COLUMNS = (
    "sampled_at",
    "used_power_at",
    "shed_power_at",
    "shed_event_id",
    "event_at",
    "battery_soc_at",
    "min_clock_skew",
    "max_clock_skew",
)
FUNCTIONS = (
    "event_progress",
    "event_ven_progress",
    "delivered_energy",
    "reporting_vens",
    "reported_sheds",
    "first_report",
    "corrected_time",
)


def upgrade() -> None:
    # Null is no skew, as for almost all readings, so that they take no space.
    op.execute("ALTER TABLE telemetry_readings ADD COLUMN clock_skew_seconds double precision")
    for function in ("event_progress", "event_ven_progress", "delivered_energy", "reporting_vens"):
        op.execute(f"DROP FUNCTION {function}")
    for statement in (
        CORRECTED_TIME,
        TOLD_TIMES,
        FILL_TOLD_TIMES,
        FIRST_REPORT,
        REPORTED_SHEDS,
        REPORTING_VENS,
        DELIVERED_ENERGY,
        EVENT_VEN_PROGRESS,
        EVENT_PROGRESS,
    ):
        op.execute(statement)


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    for column in COLUMNS:
        op.execute(f"ALTER TABLE ven_status DROP COLUMN {column}")
    op.execute("ALTER TABLE telemetry_readings DROP COLUMN clock_skew_seconds")
    before = context.script.get_revision("0015").module
    for statement in (
        before.REPORTING_VENS,
        before.DELIVERED_ENERGY,
        before.EVENT_VEN_PROGRESS,
        before.EVENT_PROGRESS,
    ):
        op.execute(statement)
