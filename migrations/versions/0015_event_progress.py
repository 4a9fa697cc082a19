"""How far the VENs of an event got, the funnel, and the energy they delivered: functions for settlement, REST, feed."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# The last command of each VEN of an event is found in the order of the index, however many VENs there are.
NEW_INDEX = "CREATE INDEX commands_event_ven ON commands (event_id, ven_id)"
OLD_INDEX = "DROP INDEX commands_event_id"

# The VENs whose samples name an event in [begin_at, end_at): one index lookup for each VEN, not one for each sample.
REPORTING_VENS = """
CREATE FUNCTION reporting_vens(reported_event_id text, begin_at timestamptz, end_at timestamptz)
RETURNS TABLE (ven_id text) LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH RECURSIVE reported AS (
        (SELECT t.ven_id FROM telemetry_readings AS t
         WHERE t.event_id = reported_event_id AND t.time >= begin_at AND t.time < end_at ORDER BY t.ven_id LIMIT 1)
        UNION ALL
        SELECT (SELECT further.ven_id FROM telemetry_readings AS further
                WHERE further.event_id = reported_event_id AND further.ven_id > reported.ven_id
                    AND further.time >= begin_at AND further.time < end_at
                ORDER BY further.ven_id LIMIT 1)
        FROM reported WHERE reported.ven_id IS NOT NULL
    )
    SELECT reported.ven_id FROM reported WHERE reported.ven_id IS NOT NULL;
END
"""

# For each of the VENs, the energy in kWh that it did not use in [begin_at, end_at) because of an event, and for how
# many seconds its samples cover that time, each for `hold_seconds` at most.
#
# A sample holds until the VEN's next one or the end, however long that is; before the first one the power is 0. A
# sample of another event, or of none, counts as 0; one of this event without a shed is left out. Samples of the last
# `hold_seconds` before the begin hold as well. The time-average is the energy divided by the hours.
#
# Less than a microwatt is 0: PostgreSQL refuses the whole statement ("underflow") for the smallest numbers.
DELIVERED_ENERGY = """
CREATE FUNCTION delivered_energy(
    delivered_event_id text, ven_ids text[], begin_at timestamptz, end_at timestamptz, hold_seconds double precision
) RETURNS TABLE (ven_id text, energy_kwh double precision, covered_seconds double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT given.ven_id, COALESCE(held.kw_seconds, 0) / 3600, COALESCE(held.covered, 0)
    FROM unnest(ven_ids) AS given(ven_id) CROSS JOIN LATERAL (
        SELECT sum(kw * extract(epoch FROM GREATEST(next, begin_at) - GREATEST(time, begin_at))::float8) AS kw_seconds,
               sum(extract(epoch FROM GREATEST(LEAST(next, time + hold_seconds * interval '1 second'), begin_at)
                                      - GREATEST(time, begin_at))::float8) AS covered
        FROM (SELECT t.time, lead(t.time, 1, end_at) OVER (ORDER BY t.time) AS next,
                     CASE WHEN t.event_id = delivered_event_id AND abs(t.shed_power_kw) >= 1e-9
                          THEN t.shed_power_kw ELSE 0 END AS kw
              FROM telemetry_readings AS t
              WHERE t.ven_id = given.ven_id AND t.time >= begin_at - hold_seconds * interval '1 second'
                  AND t.time < end_at
                  AND (t.event_id IS DISTINCT FROM delivered_event_id OR t.shed_power_kw IS NOT NULL)
        ) AS samples
    ) AS held;
END
"""

# How far each VEN got in each of the events: one row for every VEN that the event names or addressed, or that reported
# it or answered to it. `computed_*` are the energies of one completed event that has none stored, one entry a VEN.
#
# `shed_kw` is the VEN's shed now while the event is active, and its average over the event when it is completed; null
# where nothing is known of it. Of several commands the last one counts, the gateway's own before an operator's.
# `accepted` is also true for a VEN that accepted the event without a command.
EVENT_VEN_PROGRESS = """
CREATE FUNCTION event_ven_progress(
    event_ids text[],
    computed_ven_ids text[] DEFAULT '{}',
    computed_energy_kwh double precision[] DEFAULT '{}',
    computed_covered_seconds double precision[] DEFAULT '{}'
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
        SELECT s.event_id, s.ven_id, COALESCE(s.shed_power_kw, 0) AS kw,
               NULL::float8 AS energy_kwh, NULL::float8 AS covered_seconds
        FROM event JOIN ven_status AS s ON s.event_id = event.event_id
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

# The funnel and the performance of each event: what event_ven_progress adds up to. Response times are in ms;
# percentiles are values that occurred. Coverage is that of the VENs with a share; without any, of
# all that reported.
EVENT_PROGRESS = """
CREATE FUNCTION event_progress(
    event_ids text[],
    computed_ven_ids text[] DEFAULT '{}',
    computed_energy_kwh double precision[] DEFAULT '{}',
    computed_covered_seconds double precision[] DEFAULT '{}'
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
         LEFT JOIN event_ven_progress(event_ids, computed_ven_ids, computed_energy_kwh, computed_covered_seconds) AS ven
             ON ven.event_id = given.event_id
    GROUP BY given.event_id;
END
"""

STATEMENTS = (NEW_INDEX, OLD_INDEX, REPORTING_VENS, DELIVERED_ENERGY, EVENT_VEN_PROGRESS, EVENT_PROGRESS)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for function in ("event_progress", "event_ven_progress", "delivered_energy", "reporting_vens"):
        op.execute(f"DROP FUNCTION {function}")
    op.execute("CREATE INDEX commands_event_id ON commands (event_id)")
    op.execute("DROP INDEX commands_event_ven")
