"""What samples and silence show of the monitored commands: each statement records newly known evidence.

All times are by the gateway's clock. The latest sample's time is corrected by the VEN's clock skew: a sample that was
received later but measured earlier does not show the present.
"""

from collections.abc import Sequence
from typing import Any

from runtime.database import Connection

_SAMPLE_AT = "(s.measured_at + s.clock_skew_seconds * interval '1 second')"
_KIND = "COALESCE(c.phase, 'operator') AS kind"
_OF_EVENT = "c.op IN ('event', 'shedPanel')"
_OVER = "COALESCE(c.ends_at, c.created_at) < now() - interval '2 minutes'"

_FIRST_SAMPLES = """
    SELECT c.correlation_id, first.reported_at, first.shed_at
    FROM commands AS c {where} CROSS JOIN LATERAL (
        SELECT min(t.received_at) AS reported_at, min(t.received_at) FILTER (WHERE t.shed_power_kw > 0) AS shed_at
        FROM telemetry_readings AS t
        WHERE t.event_id = c.event_id AND t.ven_id = c.ven_id AND t.time > c.created_at - interval '1 day'
            AND t.received_at >= c.created_at - interval '1 second'
    ) AS first
    WHERE c.monitored AND c.op IN ('event', 'shedPanel') AND first.reported_at IS NOT NULL
"""
_RECORD_REPORTED = f"""
UPDATE commands AS c SET
    reported_at = COALESCE(c.reported_at, shown.reported_at), shed_at = COALESCE(c.shed_at, shown.shed_at)
FROM ({{first_samples}}) AS shown
WHERE c.correlation_id = shown.correlation_id
    AND (c.reported_at IS NULL OR c.shed_at IS NULL AND shown.shed_at IS NOT NULL)
RETURNING {_KIND}
"""  # noqa: S608 - our own text
# Joined with the latest values, so that readings are read only for a VEN that newly reports the event.
_NOW = """JOIN ven_status AS s ON s.ven_id = c.ven_id AND s.event_id = c.event_id
        AND (c.reported_at IS NULL OR c.shed_at IS NULL AND s.shed_power_kw > 0)"""
REPORTED = _RECORD_REPORTED.format(first_samples=_FIRST_SAMPLES.format(where=_NOW))
# Once more when the event is over: after an outage the latest values may be from after the event.
REPORTED_LATE = _RECORD_REPORTED.format(
    first_samples=_FIRST_SAMPLES.format(where="")
    + "AND c.reported_at IS NULL AND c.ends_at < now() - interval '30 seconds'"
)

# A device may end an event by itself this long before its end.
_EARLY = "interval '5 seconds'"
LOST = f"""
UPDATE commands AS c SET lost_at = {_SAMPLE_AT}
FROM ven_status AS s
WHERE c.monitored AND c.phase = 'event' AND c.reported_at IS NOT NULL AND c.lost_at IS NULL AND s.ven_id = c.ven_id
    AND s.event_id IS DISTINCT FROM c.event_id AND {_SAMPLE_AT} > c.reported_at AND {_SAMPLE_AT} < c.ends_at - {_EARLY}
RETURNING {_KIND}
"""  # noqa: S608 - our own text
# The last check of an event that is over, once for each command: after an outage the latest values may be from after
# the loss. Samples are ordered by the VEN's clock, for several may have been received at once.
LOST_LATE = f"""
UPDATE commands AS c SET lost_at = gone.received_at
FROM (SELECT c.correlation_id, min(t.received_at) AS received_at
      FROM commands AS c JOIN ven_status AS s ON s.ven_id = c.ven_id CROSS JOIN LATERAL (
          SELECT min(named.time) AS time FROM telemetry_readings AS named
          WHERE named.ven_id = c.ven_id AND named.event_id = c.event_id AND named.time > c.created_at - interval '1 day'
              AND named.received_at >= c.created_at - interval '1 second'
      ) AS first JOIN telemetry_readings AS t ON t.ven_id = c.ven_id AND t.time > first.time
          AND t.time < c.ends_at - {_EARLY} - s.clock_skew_seconds * interval '1 second'
          AND t.event_id IS DISTINCT FROM c.event_id
      WHERE c.monitored AND c.phase = 'event' AND c.reported_at IS NOT NULL AND c.lost_at IS NULL AND {_OVER}
      GROUP BY c.correlation_id) AS gone
WHERE c.correlation_id = gone.correlation_id
RETURNING {_KIND}
"""  # noqa: S608 - our own text
# VENs that lost the event and are in none now. An event that ends within moments is not worth a command.
REISSUE_LOST = f"""
SELECT c.event_id, c.ven_id, e.share_kw, c.expires_at, c.ends_at
FROM commands AS c
     JOIN event_vens AS e ON e.event_id = c.event_id AND e.ven_id = c.ven_id
     JOIN ven_status AS s ON s.ven_id = c.ven_id
     JOIN vens AS v ON v.ven_id = c.ven_id
WHERE c.monitored AND c.phase = 'event' AND c.command_revision = 1 AND c.lost_at IS NOT NULL
    AND c.ends_at > now() + {_EARLY} AND s.event_id IS NULL AND COALESCE(s.shed_power_kw, 0) <= 0
    AND v.status <> 'disabled'
    AND NOT EXISTS (SELECT FROM commands AS again WHERE again.event_id = c.event_id AND again.ven_id = c.ven_id
                        AND again.phase = 'event' AND again.command_revision = 2)
"""  # noqa: S608 - our own text

# The broker has had the restore for $1 seconds, the VEN still reports the event and got no command since: it missed the
# restore and would shed until the planned end. A second restore does no harm.
RESTORE_AGAIN = f"""
SELECT c.event_id, c.ven_id, c.expires_at FROM commands AS c JOIN ven_status AS s USING (ven_id)
WHERE c.monitored AND c.phase = 'restore' AND c.command_revision = 1 AND c.expires_at > now()
    AND s.event_id = c.event_id AND {_SAMPLE_AT} > c.sent_at + $1::float8 * interval '1 second'
    AND NOT EXISTS (SELECT FROM commands AS later WHERE later.ven_id = c.ven_id AND later.seq > c.seq
                        AND (later.op IN ('event', 'shedPanel')
                             OR later.event_id = c.event_id AND later.command_revision = 2))
"""  # noqa: S608 - our own text
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

# Delivery is unknown, and a sample shows that the command did not arrive: nothing is active, or the event still is
# after its restore. Commands that may safely arrive twice need no sample. A shed that no sample would show is not
# repeated.
# A sample may have been delayed on its way: by the VEN's clock, too, it has to be $1 seconds later than the last sample
# received before.
_MEASURED_SINCE = """COALESCE((
    SELECT s.measured_at - t.time > c.sending_at - t.received_at + $1::float8 * interval '1 second'
    FROM telemetry_readings AS t
    WHERE t.ven_id = c.ven_id AND t.time > c.sending_at - interval '1 day' AND t.received_at <= c.sending_at
    ORDER BY t.time DESC LIMIT 1), true)"""
REPEAT = f"""
WITH repeated AS (
UPDATE commands AS c SET attempt = c.attempt + 1, logged_at = NULL, sending_at = NULL
FROM ven_status AS s
WHERE c.monitored AND c.sending_at IS NOT NULL AND c.sent_at IS NULL AND c.acked_at IS NULL AND c.reported_at IS NULL
    AND c.expired_at IS NULL AND c.expires_at > now() AND s.ven_id = c.ven_id
    AND CASE WHEN {_OF_EVENT} THEN {_SAMPLE_AT} > c.sending_at + $1::float8 * interval '1 second' AND {_MEASURED_SINCE}
                  AND s.event_id IS NULL AND COALESCE(s.shed_power_kw, 0) <= 0
             WHEN c.op = 'restore' THEN {_SAMPLE_AT} > c.sending_at + $1::float8 * interval '1 second'
                  AND s.event_id = c.event_id
                  AND NOT EXISTS (SELECT FROM commands AS later WHERE later.ven_id = c.ven_id
                                      AND later.op IN ('event', 'shedPanel') AND later.seq > c.seq)
             ELSE c.op IN ('ping', 'get', 'setLoad', 'setConfig')
                  AND c.sending_at + $1::float8 * interval '1 second' < now() END
RETURNING c.correlation_id, {_KIND}
), queued AS (INSERT INTO outbox (kind, key) SELECT 'command', correlation_id FROM repeated)
SELECT kind FROM repeated
"""  # noqa: S608 - our own text
# Only of a VEN that had reported the event: another one cannot show the end.
RESTORED = f"""
UPDATE commands AS c SET reported_at = {_SAMPLE_AT}
FROM ven_status AS s
WHERE c.monitored AND c.op = 'restore' AND c.event_id IS NOT NULL AND c.reported_at IS NULL AND s.ven_id = c.ven_id
    AND s.event_id IS DISTINCT FROM c.event_id AND {_SAMPLE_AT} > COALESCE(c.sent_at, c.sending_at)
    AND EXISTS (SELECT FROM commands AS event WHERE event.ven_id = c.ven_id AND event.event_id = c.event_id
                    AND event.op IN ('event', 'shedPanel') AND event.reported_at IS NOT NULL)
RETURNING {_KIND}
"""  # noqa: S608 - our own text

EXPIRED = f"""
UPDATE commands AS c SET expired_at = now(), logged_at = COALESCE(c.logged_at, now())
WHERE c.monitored AND c.expires_at < now() - interval '5 seconds' AND c.expired_at IS NULL
    AND NOT may_have_arrived(c)
RETURNING {_KIND}
"""  # noqa: S608 - our own text
UNANSWERED = f"""
UPDATE commands AS c SET unanswered_at = now()
WHERE c.monitored AND c.acked_at IS NULL AND c.unanswered_at IS NULL
    AND (c.sent_at < now() - $1::float8 * interval '1 second'
         OR c.sending_at IS NOT NULL AND c.expires_at < now() - $1::float8 * interval '1 second')
RETURNING {_KIND}
"""  # noqa: S608 - our own text

# Samples may still arrive for some minutes after an event or a restore.
STOP_MONITORING = f"""
UPDATE commands AS c SET monitored = false
WHERE c.monitored AND (c.acked_at IS NOT NULL OR c.unanswered_at IS NOT NULL OR c.expired_at IS NOT NULL)
    AND CASE WHEN c.op IN ('event', 'shedPanel') THEN {_OVER}
             WHEN c.op = 'restore' THEN c.reported_at IS NOT NULL OR c.created_at < now() - interval '10 minutes'
             ELSE true END
"""  # noqa: S608 - our own text


async def record(connection: Connection, statement: str, arguments: Sequence[Any] = ()) -> list[str]:
    """Run one of the statements; returns the kind (event, restore, operator) of each command that it changed."""
    return [row["kind"] for row in await connection.fetch(statement, *arguments)]


async def stop_monitoring(connection: Connection) -> None:
    """Stop monitoring the commands whose steps are final."""
    await connection.execute(STOP_MONITORING)
