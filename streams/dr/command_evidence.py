"""What samples and silence show of the monitored commands: each statement records newly known evidence.

All times are those of the gateway's own clock. `heard_at` is when the sample that the VEN's latest values are from was
received: what is received later but was measured earlier says nothing of now.
"""

from collections.abc import Sequence
from typing import Any

from runtime.database import Connection

_HEARD_AT = "(s.measured_at + s.clock_skew_seconds * interval '1 second')"
_KIND = "COALESCE(c.phase, 'operator') AS kind"
_OF_EVENT = "c.op IN ('event', 'shedPanel')"
_OVER = "COALESCE(c.ends_at, c.created_at) < now() - interval '2 minutes'"

_SHOWN = """
    SELECT c.correlation_id, first.reported_at, first.shed_at
    FROM commands AS c {where} CROSS JOIN LATERAL (
        SELECT min(t.received_at) AS reported_at, min(t.received_at) FILTER (WHERE t.shed_power_kw > 0) AS shed_at
        FROM telemetry_readings AS t
        WHERE t.event_id = c.event_id AND t.ven_id = c.ven_id AND t.time > c.created_at - interval '1 day'
            AND t.received_at >= c.created_at - interval '1 second'
    ) AS first
    WHERE c.monitored AND c.op IN ('event', 'shedPanel') AND first.reported_at IS NOT NULL
"""
_NOTE_SHOWN = f"""
UPDATE commands AS c SET
    reported_at = COALESCE(c.reported_at, shown.reported_at), shed_at = COALESCE(c.shed_at, shown.shed_at)
FROM ({{shown}}) AS shown
WHERE c.correlation_id = shown.correlation_id
    AND (c.reported_at IS NULL OR c.shed_at IS NULL AND shown.shed_at IS NOT NULL)
RETURNING {_KIND}
"""  # noqa: S608 - our own text
# Among the latest values first, so that readings are only looked at where there is something new.
_NOW = """JOIN ven_status AS s ON s.ven_id = c.ven_id AND s.event_id = c.event_id
        AND (c.reported_at IS NULL OR c.shed_at IS NULL AND s.shed_power_kw > 0)"""
REPORTED = _NOTE_SHOWN.format(shown=_SHOWN.format(where=_NOW))
# Once more when it is over: after an outage the latest values may have gone past the event.
REPORTED_MEANWHILE = _NOTE_SHOWN.format(
    shown=_SHOWN.format(where="") + "AND c.reported_at IS NULL AND c.ends_at < now() - interval '30 seconds'"
)

# Seconds before its end that a device may stop by itself.
_EARLY = "interval '5 seconds'"
LOST = f"""
UPDATE commands AS c SET lost_at = {_HEARD_AT}
FROM ven_status AS s
WHERE c.monitored AND c.phase = 'event' AND c.reported_at IS NOT NULL AND c.lost_at IS NULL AND s.ven_id = c.ven_id
    AND s.event_id IS DISTINCT FROM c.event_id AND {_HEARD_AT} > c.reported_at AND {_HEARD_AT} < c.ends_at - {_EARLY}
RETURNING {_KIND}
"""  # noqa: S608 - our own text
# The last look at what is over, once for each command: after an outage the latest values may have gone past the moment.
# Samples of one VEN are told apart by its own clock, as they may have been received together.
LOST_MEANWHILE = f"""
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
# Lost, and doing nothing else now. What runs out within moments is not worth a command.
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

# A restore that the broker has had for so long, and the VEN still names the event and was told nothing since: it missed
# it, and would shed to its planned end. To be restored twice does no harm.
RESTORE_AGAIN = f"""
SELECT c.event_id, c.ven_id, c.expires_at FROM commands AS c JOIN ven_status AS s USING (ven_id)
WHERE c.monitored AND c.phase = 'restore' AND c.command_revision = 1 AND c.expires_at > now()
    AND s.event_id = c.event_id AND {_HEARD_AT} > c.sent_at + $1::float8 * interval '1 second'
    AND NOT EXISTS (SELECT FROM commands AS later WHERE later.ven_id = c.ven_id AND later.seq > c.seq
                        AND (later.op IN ('event', 'shedPanel')
                             OR later.event_id = c.event_id AND later.command_revision = 2))
"""  # noqa: S608 - our own text
# Disabled while it sheds: it takes part in no event.
LEAVING = """
SELECT c.event_id, c.ven_id, c.ends_at FROM commands AS c JOIN vens AS v USING (ven_id)
WHERE c.monitored AND c.phase = 'event' AND c.ends_at > now() AND v.status = 'disabled'
    AND NOT EXISTS (SELECT FROM commands AS restore WHERE restore.event_id = c.event_id AND restore.ven_id = c.ven_id
                        AND restore.phase = 'restore')
"""
LEFT = "UPDATE commands SET ends_at = now() WHERE event_id = $1 AND ven_id = $2 AND phase = 'event' AND ends_at > now()"

# Nothing told whether it was sent, and now a sample shows that it was not: nothing is active, or the event still is
# after its restore. What may be said twice needs no sample. What sheds and leaves no trace of its own is not repeated.
# A sample may be measured before and be held up on its way: by the VEN's own clock, too, it has to be so much later
# than the last one that was received before.
_MEASURED_SINCE = """COALESCE((
    SELECT s.measured_at - t.time > c.sending_at - t.received_at + $1::float8 * interval '1 second'
    FROM telemetry_readings AS t
    WHERE t.ven_id = c.ven_id AND t.time > c.sending_at - interval '1 day' AND t.received_at <= c.sending_at
    ORDER BY t.time DESC LIMIT 1), true)"""
REPEAT = f"""
UPDATE commands AS c SET attempt = c.attempt + 1, logged_at = NULL, sending_at = NULL
FROM ven_status AS s
WHERE c.monitored AND c.sending_at IS NOT NULL AND c.sent_at IS NULL AND c.acked_at IS NULL AND c.reported_at IS NULL
    AND c.expired_at IS NULL AND c.expires_at > now() AND s.ven_id = c.ven_id
    AND CASE WHEN {_OF_EVENT} THEN {_HEARD_AT} > c.sending_at + $1::float8 * interval '1 second' AND {_MEASURED_SINCE}
                  AND s.event_id IS NULL AND COALESCE(s.shed_power_kw, 0) <= 0
             WHEN c.op = 'restore' THEN {_HEARD_AT} > c.sending_at + $1::float8 * interval '1 second'
                  AND s.event_id = c.event_id
                  AND NOT EXISTS (SELECT FROM commands AS later WHERE later.ven_id = c.ven_id
                                      AND later.op IN ('event', 'shedPanel') AND later.seq > c.seq)
             ELSE c.op IN ('ping', 'get', 'setLoad', 'setConfig')
                  AND c.sending_at + $1::float8 * interval '1 second' < now() END
RETURNING {_KIND}
"""  # noqa: S608 - our own text
# Of a VEN that had reported the event: one that never did has nothing to show.
RESTORED = f"""
UPDATE commands AS c SET reported_at = {_HEARD_AT}
FROM ven_status AS s
WHERE c.monitored AND c.op = 'restore' AND c.event_id IS NOT NULL AND c.reported_at IS NULL AND s.ven_id = c.ven_id
    AND s.event_id IS DISTINCT FROM c.event_id AND {_HEARD_AT} > COALESCE(c.sent_at, c.sending_at)
    AND EXISTS (SELECT FROM commands AS told WHERE told.ven_id = c.ven_id AND told.event_id = c.event_id
                    AND told.op IN ('event', 'shedPanel') AND told.reported_at IS NOT NULL)
RETURNING {_KIND}
"""  # noqa: S608 - our own text

EXPIRED = f"""
UPDATE commands AS c SET expired_at = now(), logged_at = COALESCE(c.logged_at, now())
WHERE c.monitored AND c.expires_at < now() - interval '5 seconds' AND c.expired_at IS NULL AND c.sending_at IS NULL
    AND c.sent_at IS NULL AND c.acked_at IS NULL AND c.reported_at IS NULL
RETURNING {_KIND}
"""  # noqa: S608 - our own text
UNANSWERED = f"""
UPDATE commands AS c SET unanswered_at = now()
WHERE c.monitored AND c.acked_at IS NULL AND c.unanswered_at IS NULL
    AND (c.sent_at < now() - $1::float8 * interval '1 second'
         OR c.sending_at IS NOT NULL AND c.expires_at < now() - $1::float8 * interval '1 second')
RETURNING {_KIND}
"""  # noqa: S608 - our own text

# How long samples are waited for after an event, and after a restore.
UNWATCH = f"""
UPDATE commands AS c SET monitored = false
WHERE c.monitored AND (c.acked_at IS NOT NULL OR c.unanswered_at IS NOT NULL OR c.expired_at IS NOT NULL)
    AND CASE WHEN c.op IN ('event', 'shedPanel') THEN {_OVER}
             WHEN c.op = 'restore' THEN c.reported_at IS NOT NULL OR c.created_at < now() - interval '10 minutes'
             ELSE true END
"""  # noqa: S608 - our own text


async def kinds(connection: Connection, statement: str, arguments: Sequence[Any] = ()) -> list[str]:
    """Run one of the statements; returns of which kind (event, restore, operator) the commands are that it changed."""
    return [row["kind"] for row in await connection.fetch(statement, *arguments)]


async def unwatch(connection: Connection) -> None:
    """Let go of commands of which nothing more is to be learned."""
    await connection.execute(UNWATCH)
