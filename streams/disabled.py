"""Which VENs operators have disabled, told to the log beside the role `sink`: the role `live` knows no registry."""

import logging
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer

from runtime.database import Connection
from schemas.network import Disabled
from schemas.readings import encode_record
from schemas.settings import KafkaSettings
from schemas.topics import DISABLED
from streams.store.database import Database
from streams.telling import NotTakenError, tell

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
AT_ONCE = 5000

LEAD = "SELECT pg_try_advisory_xact_lock(hashtext('gateway.disabled'))"
CHANGED = """
(SELECT ven_id, true AS disabled FROM vens WHERE status = 'disabled'
     AND NOT EXISTS (SELECT FROM disabled_told AS told WHERE told.ven_id = vens.ven_id) LIMIT $1)
UNION ALL
(SELECT ven_id, false FROM disabled_told AS told
 WHERE NOT EXISTS (SELECT FROM vens WHERE vens.ven_id = told.ven_id AND vens.status = 'disabled') LIMIT $1)
"""
NOTE = "INSERT INTO disabled_told SELECT * FROM unnest($1::text[]) ON CONFLICT DO NOTHING"
FORGET = "DELETE FROM disabled_told WHERE ven_id = ANY ($1)"


def add_disabled(app: Any, kafka: KafkaSettings, producer: AIOKafkaProducer, database: Database) -> None:
    """Register the telling with the app."""

    @app.task  # type: ignore[untyped-decorator]
    async def tell_disabled() -> None:
        while not app.should_stop:
            try:
                while await database.run(partial(tell_changed, producer=producer, topic=kafka.topics(DISABLED))):
                    pass
            except NotTakenError as error:
                logger.warning("the log is not told who is disabled: %s", error, extra={"action": "disabled_wait"})
            await app.sleep(EVERY_SECONDS)


async def tell_changed(connection: Connection, producer: AIOKafkaProducer, topic: str) -> bool:
    """Tell which VENs were disabled, or no longer are; returns whether there may be more."""
    if not await connection.fetchval(LEAD):
        return False
    rows = await connection.fetch(CHANGED, AT_ONCE)
    if not rows:
        return False
    values = {row["ven_id"]: encode_record(Disabled(row["ven_id"])) if row["disabled"] else None for row in rows}
    await tell(producer, topic, values.items())
    await connection.execute(NOTE, [ven_id for ven_id, value in values.items() if value is not None])
    await connection.execute(FORGET, [ven_id for ven_id, value in values.items() if value is None])
    return len(rows) >= AT_ONCE
