"""Commands in the database: what is to be handed to the log, and what is known of what became of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from runtime.database import Connection
from schemas.dr.command_state import GOOD
from schemas.parsing.acks import Ack
from schemas.records.commands import CommandRecord, DeliveryEvidence

# In the order in which they were decided. One that was sent after all, or withdrawn, is only taken off the list.
UNLOGGED = """
SELECT correlation_id, ven_id, op, event_id, payload, attempt, command_revision, ends_at,
       COALESCE(expires_at, ends_at, created_at + $1::float8 * interval '1 second') AS expires_at,
       sent_at IS NULL AND expired_at IS NULL AS wanted, COALESCE(phase, 'operator') AS kind
FROM commands WHERE logged_at IS NULL
ORDER BY seq LIMIT $2
"""
# The dispatcher, evidence and answers change the same commands at the same time: each holds its own in one order first,
# so that no two wait for each other crosswise.
HOLD = "SELECT FROM commands WHERE correlation_id = ANY ($1) ORDER BY correlation_id FOR NO KEY UPDATE"
LOGGED = """
UPDATE commands SET logged_at = COALESCE(handed.logged_at, now()), expires_at = handed.expires_at
FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS handed(correlation_id, expires_at, logged_at)
WHERE commands.correlation_id = handed.correlation_id
"""

# Evidence of an attempt before the last says nothing of the last, but for `sent`: then it has arrived. One that expired
# has not gone out, whatever was meant to happen before.
TAKE_EVIDENCE = """
UPDATE commands AS c SET
    sending_at = CASE WHEN e.attempt <> c.attempt OR e.state = 'sent' THEN c.sending_at
                      WHEN e.state = 'sending' THEN COALESCE(c.sending_at, e.at) END,
    sent_at = CASE WHEN e.state = 'sent' THEN COALESCE(c.sent_at, e.at) ELSE c.sent_at END,
    expired_at = CASE WHEN e.state = 'expired' AND e.attempt = c.attempt
                      THEN COALESCE(c.expired_at, e.at) ELSE c.expired_at END
FROM unnest($1::text[], $2::text[], $3::integer[], $4::timestamptz[]) AS e(correlation_id, state, attempt, at)
WHERE c.correlation_id = e.correlation_id
"""

KNOWN = """
SELECT c.correlation_id, c.ven_id, c.acked_at, a.n
FROM unnest($1::integer[], $2::text[], $3::text[]) AS a(n, correlation_id, ven_id)
     JOIN commands AS c USING (correlation_id, ven_id)
"""
# Of an ack that names no command of ours, the last one that asked its VEN for the same, of the same event.
KNOWN_BY_EVENT = """
SELECT DISTINCT ON (a.n) c.correlation_id, c.ven_id, c.acked_at, a.n
FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
         AS a(n, ven_id, event_id, op, received_at)
     JOIN commands AS c USING (ven_id, event_id)
WHERE (c.op = a.op OR c.op = 'shedPanel' AND a.op = 'event') AND c.created_at <= a.received_at
    AND (c.sending_at IS NOT NULL OR c.sent_at IS NOT NULL)
ORDER BY a.n, c.created_at DESC
"""
# The first answer tells when, and a good one how: whichever is heard of first, and again.
ANSWERED = """
UPDATE commands AS c SET
    acked_at = LEAST(c.acked_at, a.received_at),
    ack_status = CASE WHEN c.ack_status = ANY ($4) OR NOT a.status = ANY ($4) AND c.acked_at <= a.received_at
                      THEN c.ack_status ELSE a.status END
FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS a(correlation_id, received_at, status)
WHERE c.correlation_id = a.correlation_id
    AND (c.acked_at IS NULL OR c.acked_at > a.received_at OR a.status = ANY ($4) AND NOT c.ack_status = ANY ($4))
RETURNING c.correlation_id, c.ven_id, c.event_id, c.attempt, c.acked_at,
          COALESCE(c.phase, 'operator') AS kind, c.ack_status = ANY ($4) AS good,
          extract(epoch FROM c.acked_at - c.created_at)::float8 AS seconds
"""


async def unlogged(connection: Connection, expires_seconds: float, most: int) -> list[Any]:
    """Return commands that the log does not have, the oldest first; `expires_seconds` is for those without an end."""
    return list(await connection.fetch(UNLOGGED, expires_seconds, most))


async def note_logged(connection: Connection, rows: Sequence[Any], logged: Mapping[str, datetime]) -> None:
    """Note that these are off the list, and since when the log has them, by correlation id."""
    ids = [row["correlation_id"] for row in rows]
    await connection.execute(HOLD, ids)
    await connection.execute(LOGGED, ids, [row["expires_at"] for row in rows], [logged.get(each) for each in ids])


async def record_evidence(connection: Connection, evidences: Sequence[DeliveryEvidence]) -> None:
    """Take in what the bridge knows; in any order and again."""
    await connection.execute(HOLD, [evidence.correlation_id for evidence in evidences])
    # One row can be changed once in a statement, so each state has one of its own.
    for state in ("sending", "sent", "expired"):
        first: dict[str, DeliveryEvidence] = {}
        for evidence in evidences:
            known = first.get(evidence.correlation_id)
            if evidence.state == state and (known is None or evidence.attempt > known.attempt):
                first[evidence.correlation_id] = evidence
        if first:
            rows = [(e.correlation_id, e.state, e.attempt, e.at) for _, e in sorted(first.items())]
            await connection.execute(TAKE_EVIDENCE, *(list(column) for column in zip(*rows, strict=True)))


class Answer(NamedTuple):
    """What VENs answered to a command: when first, and how."""

    received_at: datetime
    status: str

    def with_another(self, ack: Ack) -> "Answer":
        """Take another acknowledgement in: the first tells when, a good one how."""
        good = self.status in GOOD or (ack.status not in GOOD and self.received_at <= ack.received_at)
        return Answer(min(self.received_at, ack.received_at), self.status if good else ack.status)


async def match_acks(connection: Connection, acks: Sequence[Ack]) -> tuple[dict[str, Answer], dict[str, int]]:
    """Find the commands that acknowledgements answer: by correlation id, else by event and VEN.

    Returns what was answered, by correlation id of the command, and how many acks were matched by `correlation`, by
    `event`, or by `nothing`.
    """
    by_id = await connection.fetch(
        KNOWN,
        list(range(len(acks))),
        [ack.correlation_id for ack in acks],
        [ack.ven_id for ack in acks],
    )
    found = {row["n"]: row["correlation_id"] for row in by_id}
    others = [n for n, ack in enumerate(acks) if n not in found and ack.event_id is not None]
    by_event = await connection.fetch(
        KNOWN_BY_EVENT,
        others,
        [acks[n].ven_id for n in others],
        [acks[n].event_id for n in others],
        [acks[n].op for n in others],
        [acks[n].received_at for n in others],
    )
    found |= {row["n"]: row["correlation_id"] for row in by_event}
    answers: dict[str, Answer] = {}
    for n, correlation_id in found.items():
        known = answers.get(correlation_id)
        fresh = Answer(acks[n].received_at, acks[n].status)
        answers[correlation_id] = fresh if known is None else known.with_another(acks[n])
    counts = {"correlation": len(by_id), "event": len(by_event), "nothing": len(acks) - len(found)}
    return answers, counts


async def record_answers(connection: Connection, answers: dict[str, Answer]) -> list[Any]:
    """Note what VENs answered; returns the commands of which this is news, with `kind`, `good` and `seconds`."""
    rows = [(correlation_id, *answer) for correlation_id, answer in sorted(answers.items())]
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]
    await connection.execute(HOLD, columns[0])
    return list(await connection.fetch(ANSWERED, *columns, list(GOOD)))


def command_record_of(row: Any) -> CommandRecord:
    """Make the record of ven.commands of a command's row."""
    return CommandRecord(
        correlation_id=row["correlation_id"],
        ven_id=row["ven_id"],
        op=row["op"],
        event_id=row["event_id"],
        payload=msgspec.json.decode(row["payload"]),
        expires_at=row["expires_at"],
        ends_at=row["ends_at"],
        attempt=row["attempt"],
        command_revision=row["command_revision"],
    )
