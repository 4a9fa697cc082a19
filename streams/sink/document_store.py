"""Stores device shadows, of which only the latest of each VEN is kept, and VTN messages."""

from collections.abc import Sequence

from runtime.database import Connection
from schemas.mqtt.routing import Kind
from schemas.parsing.shadow import Shadow
from schemas.parsing.vtn_messages import VtnMessage
from schemas.records.telemetry import encode_record
from streams.store.ven_status import record_contact

UPSERT_SHADOWS = """
INSERT INTO ven_shadows AS known (ven_id, measured_at, received_at, document)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::jsonb[])
ON CONFLICT (ven_id) DO UPDATE SET
    measured_at = excluded.measured_at, received_at = excluded.received_at, document = excluded.document
WHERE excluded.received_at >= known.received_at
"""

UPSERT_VTN_MESSAGE = """
INSERT INTO notices AS known (time, kind, digest, received_at, last_received_at, ven_id, topic, document)
VALUES ($1, $2, $3, $4, $4, $5, $6, $7)
ON CONFLICT (time, kind, digest) DO UPDATE SET
    received_at = LEAST(known.received_at, excluded.received_at),
    last_received_at = GREATEST(known.last_received_at, excluded.last_received_at)
"""


async def store_shadows(connection: Connection, shadows: Sequence[Shadow]) -> None:
    """Store the document of each VEN that was received last."""
    latest: dict[str, Shadow] = {}
    for shadow in shadows:
        known = latest.get(shadow.ven_id)
        if known is None or shadow.received_at >= known.received_at:
            latest[shadow.ven_id] = shadow
    rows = [
        (ven_id, shadow.timestamp, shadow.received_at, encode_record(shadow.document).decode())
        for ven_id, shadow in sorted(latest.items())
    ]
    await connection.execute(UPSERT_SHADOWS, *(list(column) for column in zip(*rows, strict=True)))
    await record_contact(connection, shadows)


async def store_vtn_messages(connection: Connection, messages: Sequence[VtnMessage]) -> None:
    """Store VTN messages; a repeated message stays one row, with its first and last receive time."""
    rows = [
        (
            message.timestamp,
            message.kind,
            message.digest,
            message.received_at,
            message.ven_id,
            message.topic,
            encode_record(message.document).decode(),
        )
        for message in messages
    ]
    await connection.executemany(UPSERT_VTN_MESSAGE, rows)
    # An event of another VTN is no contact of the VEN that it names.
    await record_contact(connection, [message for message in messages if message.kind != Kind.EVENTS])
