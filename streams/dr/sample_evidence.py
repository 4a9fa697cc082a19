"""What samples and silence show of the monitored commands: each statement records newly known evidence.

All times are by the gateway's clock: the times of `ven_status` are corrected by the VEN's clock skew. Only a statement
about shedding is evidence (`event_at`): a sample that tells the shed power or names an event. One that was
received later but measured earlier does not show the present.
"""

from collections.abc import Sequence
from typing import Any

from runtime.database import Connection

# Readings are read only for a VEN that newly reports the event.
REPORTED = """
UPDATE commands AS c SET
    reported_at = COALESCE(c.reported_at, shown.reported_at), shed_at = COALESCE(c.shed_at, shown.shed_at)
FROM (SELECT c.correlation_id, first.reported_at, first.shed_at
      FROM commands AS c
          JOIN ven_status AS s ON s.ven_id = c.ven_id AND s.event_id = c.event_id
              AND (c.reported_at IS NULL OR c.shed_at IS NULL AND s.shed_power_kw > 0)
          CROSS JOIN LATERAL first_report(c) AS first
      WHERE c.monitored AND c.op IN ('event', 'shedPanel') AND first.reported_at IS NOT NULL) AS shown
WHERE c.correlation_id = shown.correlation_id
    AND (c.reported_at IS NULL OR c.shed_at IS NULL AND shown.shed_at IS NOT NULL)
RETURNING COALESCE(c.phase, 'operator') AS kind
"""
# Once more when the event is over: after an outage the latest values may be from after the event.
REPORTED_LATE = """
UPDATE commands AS c SET reported_at = shown.reported_at, shed_at = COALESCE(c.shed_at, shown.shed_at)
FROM (SELECT c.correlation_id, first.reported_at, first.shed_at
      FROM commands AS c CROSS JOIN LATERAL first_report(c) AS first
      WHERE c.monitored AND c.op IN ('event', 'shedPanel') AND c.reported_at IS NULL
          AND c.ends_at < now() - interval '30 seconds' AND first.reported_at IS NOT NULL) AS shown
WHERE c.correlation_id = shown.correlation_id AND c.reported_at IS NULL
RETURNING COALESCE(c.phase, 'operator') AS kind
"""

# A device may end an event by itself some seconds before its end.
LOST = """
UPDATE commands AS c SET lost_at = s.event_at
FROM ven_status AS s
WHERE c.monitored AND c.phase = 'event' AND c.reported_at IS NOT NULL AND c.lost_at IS NULL AND s.ven_id = c.ven_id
    AND s.event_id IS DISTINCT FROM c.event_id AND s.event_at > c.reported_at
    AND s.event_at < c.ends_at - interval '5 seconds'
RETURNING COALESCE(c.phase, 'operator') AS kind
"""
# The last check of an event that is over, once for each command: after an outage the latest values may be from after
# the loss. Statements are ordered by their corrected time, for several may have been received at once.
# A report that seems older than the command comes from a clock whose skew is not known yet, and does not date it.
LOST_LATE = """
UPDATE commands AS c SET lost_at = gone.received_at
FROM (SELECT c.correlation_id, min(t.received_at) AS received_at
      FROM commands AS c JOIN ven_status AS s ON s.ven_id = c.ven_id
          CROSS JOIN LATERAL (
              SELECT min(corrected_time(named.time, named.clock_skew_seconds)) AS at FROM telemetry_readings AS named
              WHERE named.ven_id = c.ven_id AND named.event_id = c.event_id
                  AND named.time > c.created_at - interval '1 day'
                  AND named.received_at >= c.created_at - interval '1 second'
                  AND corrected_time(named.time, named.clock_skew_seconds) >= c.created_at - interval '2 seconds'
          ) AS first
          JOIN telemetry_readings AS t ON t.ven_id = c.ven_id
              AND t.time > first.at - s.max_clock_skew * interval '1 second'
              AND t.time < c.ends_at - s.min_clock_skew * interval '1 second'
              AND corrected_time(t.time, t.clock_skew_seconds) > first.at
              AND corrected_time(t.time, t.clock_skew_seconds) < c.ends_at - interval '5 seconds'
              AND t.event_id IS DISTINCT FROM c.event_id AND (t.shed_power_kw IS NOT NULL OR t.event_id IS NOT NULL)
      WHERE c.monitored AND c.phase = 'event' AND c.reported_at IS NOT NULL AND c.lost_at IS NULL
          AND c.ends_at < now() - interval '2 minutes'
      GROUP BY c.correlation_id) AS gone
WHERE c.correlation_id = gone.correlation_id
RETURNING COALESCE(c.phase, 'operator') AS kind
"""
# VENs that lost the event and are in none now. An event that ends within moments is not worth a command.
REISSUE_LOST = """
SELECT c.event_id, c.ven_id, e.share_kw, c.expires_at, c.ends_at
FROM commands AS c
     JOIN event_vens AS e ON e.event_id = c.event_id AND e.ven_id = c.ven_id
     JOIN ven_status AS s ON s.ven_id = c.ven_id
     JOIN vens AS v ON v.ven_id = c.ven_id
WHERE c.monitored AND c.phase = 'event' AND c.command_revision = 1 AND c.lost_at IS NOT NULL
    AND c.ends_at > now() + interval '5 seconds' AND s.event_id IS NULL AND COALESCE(s.shed_power_kw, 0) <= 0
    AND v.status <> 'disabled'
    AND NOT EXISTS (SELECT FROM commands AS again WHERE again.event_id = c.event_id AND again.ven_id = c.ven_id
                        AND again.phase = 'event' AND again.command_revision = 2)
"""

# The broker has had the restore for $1 seconds, the VEN still reports the event and got no command since: it missed the
# restore and would shed until the planned end. A second restore does no harm.
RESTORE_AGAIN = """
SELECT c.event_id, c.ven_id, c.expires_at FROM commands AS c JOIN ven_status AS s USING (ven_id)
WHERE c.monitored AND c.phase = 'restore' AND c.command_revision = 1 AND c.expires_at > now()
    AND s.event_id = c.event_id AND s.event_at > c.sent_at + $1::float8 * interval '1 second'
    AND NOT EXISTS (SELECT FROM commands AS later WHERE later.ven_id = c.ven_id AND later.seq > c.seq
                        AND (later.op IN ('event', 'shedPanel')
                             OR later.event_id = c.event_id AND later.command_revision = 2))
"""
# A VEN that is disabled while it sheds takes part in no event.
DISABLED_PARTICIPANTS = """
SELECT c.event_id, c.ven_id, c.ends_at FROM commands AS c JOIN vens AS v USING (ven_id)
WHERE c.monitored AND c.phase = 'event' AND c.ends_at > now() AND v.status = 'disabled'
    AND NOT EXISTS (SELECT FROM commands AS restore WHERE restore.event_id = c.event_id AND restore.ven_id = c.ven_id
                        AND restore.phase = 'restore')
"""
END_COMMANDS = (
    "UPDATE commands SET ends_at = now() WHERE event_id = $1 AND ven_id = $2 AND phase = 'event' AND ends_at > now()"
)

# Delivery is unknown, and a statement shows that the command did not arrive: nothing is active, or the event still is
# after its restore. Commands that may safely arrive twice need no statement. A shed that no statement would show is not
# repeated.
REPEAT = """
WITH repeated AS (
UPDATE commands AS c SET attempt = c.attempt + 1, logged_at = NULL, sending_at = NULL
FROM ven_status AS s
WHERE c.monitored AND c.sending_at IS NOT NULL AND c.sent_at IS NULL AND c.acked_at IS NULL AND c.reported_at IS NULL
    AND c.expired_at IS NULL AND c.expires_at > now() AND s.ven_id = c.ven_id
    AND CASE WHEN c.op IN ('event', 'shedPanel')
             THEN s.event_at > c.sending_at + $1::float8 * interval '1 second'
                  AND s.event_id IS NULL AND COALESCE(s.shed_power_kw, 0) <= 0
             WHEN c.op = 'restore' THEN s.event_at > c.sending_at + $1::float8 * interval '1 second'
                  AND s.event_id = c.event_id
                  AND NOT EXISTS (SELECT FROM commands AS later WHERE later.ven_id = c.ven_id
                                      AND later.op IN ('event', 'shedPanel') AND later.seq > c.seq)
             ELSE c.op IN ('ping', 'get', 'setLoad', 'setConfig')
                  AND c.sending_at + $1::float8 * interval '1 second' < now() END
RETURNING c.correlation_id, COALESCE(c.phase, 'operator') AS kind
), queued AS (INSERT INTO outbox (kind, key) SELECT 'command', correlation_id FROM repeated)
SELECT kind FROM repeated
"""
# Only of a VEN that had reported the event: another one cannot show the end.
RESTORED = """
UPDATE commands AS c SET reported_at = s.event_at
FROM ven_status AS s
WHERE c.monitored AND c.op = 'restore' AND c.event_id IS NOT NULL AND c.reported_at IS NULL AND s.ven_id = c.ven_id
    AND s.event_id IS DISTINCT FROM c.event_id AND s.event_at > COALESCE(c.sent_at, c.sending_at)
    AND EXISTS (SELECT FROM commands AS event WHERE event.ven_id = c.ven_id AND event.event_id = c.event_id
                    AND event.op IN ('event', 'shedPanel') AND event.reported_at IS NOT NULL)
RETURNING COALESCE(c.phase, 'operator') AS kind
"""

EXPIRED = """
UPDATE commands AS c SET expired_at = now(), logged_at = COALESCE(c.logged_at, now())
WHERE c.monitored AND c.expires_at < now() - interval '5 seconds' AND c.expired_at IS NULL
    AND NOT may_have_arrived(c)
RETURNING COALESCE(c.phase, 'operator') AS kind
"""
UNANSWERED = """
UPDATE commands AS c SET unanswered_at = now()
WHERE c.monitored AND c.acked_at IS NULL AND c.unanswered_at IS NULL
    AND (c.sent_at < now() - $1::float8 * interval '1 second'
         OR c.sending_at IS NOT NULL AND c.expires_at < now() - $1::float8 * interval '1 second')
RETURNING COALESCE(c.phase, 'operator') AS kind
"""

# Samples may still arrive for some minutes after an event or a restore.
STOP_MONITORING = """
UPDATE commands AS c SET monitored = false
WHERE c.monitored AND (c.acked_at IS NOT NULL OR c.unanswered_at IS NOT NULL OR c.expired_at IS NOT NULL)
    AND CASE WHEN c.op IN ('event', 'shedPanel')
             THEN COALESCE(c.ends_at, c.created_at) < now() - interval '2 minutes'
             WHEN c.op = 'restore' THEN c.reported_at IS NOT NULL OR c.created_at < now() - interval '10 minutes'
             ELSE true END
"""


async def record(connection: Connection, statement: str, arguments: Sequence[Any] = ()) -> list[str]:
    """Run one of the statements; returns the kind (event, restore, operator) of each command that it changed."""
    return [row["kind"] for row in await connection.fetch(statement, *arguments)]


async def stop_monitoring(connection: Connection) -> None:
    """Stop monitoring the commands whose steps are final."""
    await connection.execute(STOP_MONITORING)
