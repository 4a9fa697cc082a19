"""Shadow documents, of which the last of each VEN is kept, and messages for the record."""

from collections.abc import Sequence
from datetime import datetime

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
WHERE COALESCE(excluded.measured_at, excluded.received_at) >= COALESCE(known.measured_at, known.received_at)
"""

UPSERT_NOTICES = """
INSERT INTO notices AS known (time, kind, digest, received_at, last_received_at, ven_id, topic, document)
SELECT time, kind, digest, received_at, received_at, ven_id, topic, document
FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::jsonb[])
    AS fresh(time, kind, digest, received_at, ven_id, topic, document)
ON CONFLICT (time, kind, digest) DO UPDATE SET
    received_at = LEAST(known.received_at, excluded.received_at),
    last_received_at = GREATEST(known.last_received_at, excluded.last_received_at)
"""


async def keep_shadows(connection: Connection, shadows: Sequence[Shadow]) -> None:
    """Keep the last document of each VEN: the one that was measured last."""
    latest: dict[str, Shadow] = {}
    for shadow in shadows:
        known = latest.get(shadow.ven_id)
        if known is None or _age(shadow) >= _age(known):
            latest[shadow.ven_id] = shadow
    rows = [
        (ven_id, shadow.timestamp, shadow.received_at, encode_record(shadow.document).decode())
        for ven_id, shadow in sorted(latest.items())
    ]
    await connection.execute(UPSERT_SHADOWS, *(list(column) for column in zip(*rows, strict=True)))
    await record_contact(connection, shadows)


async def keep_notices(connection: Connection, notices: Sequence[VtnMessage]) -> None:
    """Keep messages for the record; the same words once, with when they came first and last."""
    # One statement must not meet a row twice.
    for notice in notices:
        await connection.execute(
            UPSERT_NOTICES,
            [notice.timestamp],
            [notice.kind],
            [notice.digest],
            [notice.received_at],
            [notice.ven_id],
            [notice.topic],
            [encode_record(notice.document).decode()],
        )
    # What another VTN announced is no word of the VEN that it names.
    await record_contact(connection, [notice for notice in notices if notice.kind != Kind.EVENTS])


def _age(shadow: Shadow) -> datetime:
    return shadow.timestamp or shadow.received_at
