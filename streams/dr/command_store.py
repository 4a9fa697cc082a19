"""Records delivery evidence and acks with their commands."""

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.database import Connection
from schemas.parsing.acks import Ack
from schemas.records.commands import DeliveryEvidence

# The publisher, evidence and acks change the same commands. All lock them in one order, which prevents deadlocks.
LOCK = "SELECT FROM commands WHERE correlation_id = ANY ($1) ORDER BY correlation_id FOR NO KEY UPDATE"

# Evidence of an earlier attempt does not count for the last one, except `sent`: then the command has arrived. An
# expired command was not sent, although it may have been claimed before.
RECORD_EVIDENCE = """
UPDATE commands AS c SET
    sending_at = CASE WHEN e.attempt <> c.attempt OR e.state = 'sent' THEN c.sending_at
                      WHEN e.state = 'sending' THEN COALESCE(c.sending_at, e.at) END,
    sent_at = CASE WHEN e.state = 'sent' THEN COALESCE(c.sent_at, e.at) ELSE c.sent_at END,
    expired_at = CASE WHEN e.state = 'expired' AND e.attempt = c.attempt
                      THEN COALESCE(c.expired_at, e.at) ELSE c.expired_at END
FROM unnest($1::text[], $2::text[], $3::integer[], $4::timestamptz[]) AS e(correlation_id, state, attempt, at)
WHERE c.correlation_id = e.correlation_id
"""

# By correlation id, else the VEN's last command that asked for the same, of the same event.
BY_CORRELATION = """
SELECT a.n, c.correlation_id
FROM unnest($1::integer[], $2::text[], $3::text[]) AS a(n, correlation_id, ven_id)
     JOIN commands AS c USING (correlation_id, ven_id)
"""
BY_EVENT = """
SELECT DISTINCT ON (a.n) a.n, c.correlation_id
FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
         AS a(n, ven_id, event_id, op, received_at)
     JOIN commands AS c USING (ven_id, event_id)
WHERE (c.op = a.op OR c.op = 'shedPanel' AND a.op = 'event') AND c.created_at <= a.received_at
    AND (c.sending_at IS NOT NULL OR c.sent_at IS NOT NULL)
ORDER BY a.n, c.created_at DESC
"""
# The first ack sets the time. A good one sets the status before a refusal, and a refusal before any other word, in
# whatever order they arrive. RETURNING gives the commands for which something changed.
RECORD_ACKS = """
UPDATE commands AS c SET
    acked_at = LEAST(c.acked_at, ack.first_at),
    ack_status = CASE WHEN ack.rank < COALESCE(is_good_ack(c.ack_status)::integer, -1)
                          OR ack.rank = COALESCE(is_good_ack(c.ack_status)::integer, -1) AND c.acked_at <= ack.first_at
                      THEN c.ack_status ELSE ack.status END
FROM (SELECT a.correlation_id, min(a.received_at) AS first_at,
             max(COALESCE(is_good_ack(a.status)::integer, -1)) AS rank,
             (array_agg(a.status ORDER BY is_good_ack(a.status) DESC NULLS LAST, a.received_at))[1] AS status
      FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS a(correlation_id, received_at, status)
      GROUP BY a.correlation_id) AS ack
WHERE c.correlation_id = ack.correlation_id
    AND (c.acked_at IS NULL OR c.acked_at > ack.first_at
         OR ack.rank > COALESCE(is_good_ack(c.ack_status)::integer, -1))
RETURNING c.correlation_id, c.ven_id, c.event_id, c.attempt, c.acked_at, COALESCE(c.phase, 'operator') AS kind,
          is_good_ack(c.ack_status) AS good, extract(epoch FROM c.acked_at - c.created_at)::float8 AS seconds
"""


async def record_evidence(connection: Connection, evidences: Sequence[DeliveryEvidence]) -> None:
    """Record evidence of the bridge, which may arrive in any order and repeatedly."""
    await connection.execute(LOCK, [evidence.correlation_id for evidence in evidences])
    # A statement can change a row once only, so each state has a statement of its own.
    for state in ("sending", "sent", "expired"):
        first: dict[str, DeliveryEvidence] = {}
        for evidence in evidences:
            known = first.get(evidence.correlation_id)
            if evidence.state == state and (known is None or evidence.attempt > known.attempt):
                first[evidence.correlation_id] = evidence
        if first:
            rows = [(e.correlation_id, e.state, e.attempt, e.at) for _, e in sorted(first.items())]
            await connection.execute(RECORD_EVIDENCE, *(list(column) for column in zip(*rows, strict=True)))


async def match_acks(connection: Connection, acks: Sequence[Ack]) -> tuple[dict[int, str], dict[str, int]]:
    """Find the commands that acks answer: by correlation id, else by event and VEN.

    Returns the command's correlation id by index in `acks`, and how many acks matched by `correlation`, by `event`, or
    by `nothing`.
    """
    by_correlation = await connection.fetch(
        BY_CORRELATION,
        list(range(len(acks))),
        [ack.correlation_id for ack in acks],
        [ack.ven_id for ack in acks],
    )
    found = {row["n"]: row["correlation_id"] for row in by_correlation}
    others = [n for n, ack in enumerate(acks) if n not in found and ack.event_id is not None]
    by_event = await connection.fetch(
        BY_EVENT,
        others,
        [acks[n].ven_id for n in others],
        [acks[n].event_id for n in others],
        [acks[n].op for n in others],
        [acks[n].received_at for n in others],
    )
    found |= {row["n"]: row["correlation_id"] for row in by_event}
    counts = {"correlation": len(by_correlation), "event": len(by_event), "nothing": len(acks) - len(found)}
    return found, counts


async def record_acks(connection: Connection, acks: Sequence[Ack], commands: Mapping[int, str]) -> list[Any]:
    """Record acks, with their commands by index; returns commands that changed, with `kind`, `good` and `seconds`."""
    await connection.execute(LOCK, sorted(set(commands.values())))
    matched = [acks[n] for n in commands]
    return list(
        await connection.fetch(
            RECORD_ACKS,
            list(commands.values()),
            [ack.received_at for ack in matched],
            [ack.status for ack in matched],
        )
    )
