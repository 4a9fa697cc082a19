"""Which VENs operators have disabled, told to the log beside the role `sink`: the role `live` knows no registry."""

import logging
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer

from runtime.database import Connection
from schemas.records.network import Disabled
from schemas.records.telemetry import encode_record
from schemas.records.topics import DISABLED
from schemas.settings.blocks import KafkaSettings
from streams.engine.publish import OutgoingRecord, PublishError, publish
from streams.store.database import Database
from streams.store.leader_lock import LeaderLock

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
AT_ONCE = 5000

_DISABLED = "EXISTS (SELECT FROM vens WHERE vens.ven_id = told.ven_id AND vens.status = 'disabled')"
NOTE = f"""
WITH back AS (UPDATE disabled_told AS told SET is_told = false WHERE is_told AND NOT {_DISABLED})
INSERT INTO disabled_told (ven_id, is_told)
SELECT ven_id, false FROM vens
WHERE status = 'disabled' AND NOT EXISTS (SELECT FROM disabled_told AS told WHERE told.ven_id = vens.ven_id)
ON CONFLICT DO NOTHING
"""  # noqa: S608 - our own text
NOTED = f"SELECT ven_id, {_DISABLED} AS disabled FROM disabled_told AS told WHERE NOT is_told LIMIT $1"  # noqa: S608
TOLD = "UPDATE disabled_told SET is_told = true WHERE ven_id = ANY ($1)"
FORGET = "DELETE FROM disabled_told WHERE ven_id = ANY ($1)"


def add_disabled(app: Any, kafka: KafkaSettings, producer: AIOKafkaProducer, database: Database) -> None:
    """Register the telling with the app."""

    @app.task  # type: ignore[untyped-decorator]
    async def tell_disabled() -> None:
        while not app.should_stop:
            try:
                while await tell_changed(database, producer, kafka.topics(DISABLED)):
                    pass
            except PublishError as error:
                logger.warning("the log is not told who is disabled: %s", error, extra={"action": "disabled_wait"})
            await app.sleep(EVERY_SECONDS)


async def tell_changed(database: Database, producer: AIOKafkaProducer, topic: str) -> bool:
    """Tell which VENs were disabled, or no longer are; returns whether there may be more.

    Who is to be told of is noted before: the log may have it also when the telling failed, and what is true by then is
    told in its place.
    """
    await database.run(_note)
    told = partial(_tell_noted, producer=producer, topic=topic)
    return bool(await LeaderLock(database, "disabled").run_if_leader(told))


async def _note(connection: Connection) -> None:
    await connection.execute(NOTE)


async def _tell_noted(connection: Connection, producer: AIOKafkaProducer, topic: str) -> bool:
    rows = await connection.fetch(NOTED, AT_ONCE)
    if not rows:
        return False
    values = {row["ven_id"]: encode_record(Disabled(row["ven_id"])) if row["disabled"] else None for row in rows}
    await publish(producer, topic, (OutgoingRecord(ven_id, value) for ven_id, value in values.items()))
    await connection.execute(TOLD, [ven_id for ven_id, value in values.items() if value is not None])
    await connection.execute(FORGET, [ven_id for ven_id, value in values.items() if value is None])
    return len(rows) >= AT_ONCE
