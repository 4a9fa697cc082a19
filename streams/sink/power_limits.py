"""Publishes the power limits of VENs from the outbox to ven.power-limits, for `validate`, which has no database."""

from collections.abc import Sequence
from functools import partial

from runtime.database import Connection
from schemas.records.power_limits import PowerLimit
from schemas.records.telemetry import encode_record
from streams.outbox.source import OutboxSource, OutgoingRecord, Publication
from streams.outbox.store import Reference

LIMITS = "SELECT ven_id, max_power_kw FROM vens WHERE ven_id = ANY ($1) AND max_power_kw IS NOT NULL"


def power_limit_source(topic: str) -> OutboxSource:
    """Publish to `topic` the limits of VENs, and a tombstone for each VEN without one."""
    return OutboxSource("power_limit", partial(_load, topic=topic))


async def _load(connection: Connection, references: Sequence[Reference], topic: str) -> Publication:
    ven_ids = [reference.key for reference in references]
    limits = {row["ven_id"]: PowerLimit(**row) for row in await connection.fetch(LIMITS, ven_ids)}
    return Publication(
        [
            OutgoingRecord(topic, ven_id.encode(), encode_record(limits[ven_id]) if ven_id in limits else None)
            for ven_id in ven_ids
        ]
    )
