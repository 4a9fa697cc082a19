"""Commands from the outbox to ven.commands."""

import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from runtime.database import Connection
from runtime.metrics import COMMAND_STEPS
from schemas.records.commands import CommandRecord
from schemas.records.telemetry import encode_record
from streams.dr.command_store import LOCK
from streams.dr.tracing import trace_logged, traceparent_of
from streams.outbox.source import OutboxSource, OutgoingRecord, Publication
from streams.outbox.store import Reference

# Since its outbox row was written, a command may have been withdrawn (`logged_at`), have expired, or have been sent
# after a publication that was not recorded. Only a wanted one is published.
UNPUBLISHED = """
SELECT correlation_id, ven_id, op, event_id, payload, attempt, command_revision, ends_at,
       COALESCE(expires_at, ends_at, created_at + $2::float8 * interval '1 second') AS expires_at,
       sent_at IS NULL AND expired_at IS NULL AS wanted, COALESCE(phase, 'operator') AS kind
FROM commands WHERE correlation_id = ANY ($1) AND logged_at IS NULL
ORDER BY seq
"""
PUBLISHED = """
SELECT correlation_id, ven_id, op, event_id, payload, attempt, command_revision, ends_at,
       COALESCE(expires_at, ends_at, created_at + $2::float8 * interval '1 second') AS expires_at,
       COALESCE(phase, 'operator') AS kind
FROM commands
WHERE correlation_id = ANY ($1) AND logged_at IS NULL AND sent_at IS NULL AND expired_at IS NULL
ORDER BY seq
"""
PUBLISHED = """
UPDATE commands SET logged_at = $4, expires_at = published.expires_at
FROM unnest($1::text[], $2::integer[], $3::timestamptz[]) AS published(correlation_id, attempt, expires_at)
WHERE commands.correlation_id = published.correlation_id AND commands.attempt = published.attempt
"""


def command_source(topic: str, expires_seconds: float) -> OutboxSource:
    """Publish commands to `topic`; one without an end or expiry of its own expires after `expires_seconds`."""
    return OutboxSource("command", partial(_load, topic=topic, expires_seconds=expires_seconds), 2000, 0.2)


class CommandPublication(Publication):
    """Commands: each gets `logged_at`, is counted and traced."""

    def __init__(self, rows: Sequence[Any], topic: str) -> None:
        self._rows = rows
        self._wanted = [row for row in rows if row["wanted"]]
        self._began = time.time()
        super().__init__([_record(row, topic) for row in self._wanted])

    async def confirm(self, connection: Connection, published_at: datetime) -> None:
        """Set `logged_at` and `expires_at`."""
        ids = [row["correlation_id"] for row in self._rows]
        attempts, expiries = [row["attempt"] for row in self._rows], [row["expires_at"] for row in self._rows]
        await connection.execute(LOCK, ids)
        await connection.execute(PUBLISHED, ids, attempts, expiries, published_at)

    def after_commit(self) -> None:
        """Count the step `logged` and end its spans."""
        for row in self._wanted:
            COMMAND_STEPS.labels(row["kind"], "logged").inc()
        trace_logged(self._wanted, self._began)


async def _load(
    connection: Connection, references: Sequence[Reference], topic: str, expires_seconds: float
) -> Publication:
    rows = await connection.fetch(UNPUBLISHED, [reference.key for reference in references], expires_seconds)
    return CommandPublication(rows, topic)


def _record(row: Any, topic: str) -> OutgoingRecord:
    command = CommandRecord(
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
    headers = traceparent_of(row["correlation_id"], row["event_id"], row["attempt"])
    return OutgoingRecord(topic, row["ven_id"].encode(), encode_record(command), headers)
