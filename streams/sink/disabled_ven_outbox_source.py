"""Disabled VENs from the outbox to ven.disabled, for the role `live`, which does not read the registry."""

from collections.abc import Sequence
from functools import partial

from runtime.database import Connection
from schemas.records.network import Disabled
from schemas.records.telemetry import encode_record
from streams.outbox.source import OutboxSource, OutgoingRecord, Publication
from streams.outbox.store import Reference

DISABLED_NOW = "SELECT ven_id FROM vens WHERE ven_id = ANY ($1) AND status = 'disabled'"


def disabled_ven_source(topic: str) -> OutboxSource:
    """Publish to `topic` which VENs are disabled, and a tombstone for each that no longer is."""
    return OutboxSource("disabled_ven", partial(_load, topic=topic))


async def _load(connection: Connection, references: Sequence[Reference], topic: str) -> Publication:
    ven_ids = [reference.key for reference in references]
    disabled = {row["ven_id"] for row in await connection.fetch(DISABLED_NOW, ven_ids)}
    return Publication(
        [
            OutgoingRecord(topic, ven_id.encode(), encode_record(Disabled(ven_id)) if ven_id in disabled else None)
            for ven_id in ven_ids
        ]
    )
