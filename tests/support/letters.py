"""Dead letters for tests, put into the table as the index of the dead-letter topics does."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from runtime.database import Connection
from schemas.records.dead_letters import DeadLetterState
from schemas.tables.partitioning import create_partition, day_of, partition_name

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)

INSERT = """
INSERT INTO dead_letters (id, time, source_topic, source_partition, source_offset, mqtt_topic, ven_id, reason, detail,
                          key, headers, payload, state, state_detail, replays)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
"""

MARK = "UPDATE dead_letters SET state = $2, state_at = now(), state_detail = $3 WHERE id = ANY($1)"


def letter(letter_id: str, second: float = 0, **fields: Any) -> dict[str, Any]:
    """Make a letter of yesterday's noon plus some seconds."""
    return {
        "id": letter_id,
        "time": NOON + timedelta(seconds=second),
        "source_topic": "ven.raw.metering",
        "source_partition": 0,
        "source_offset": 7,
        "mqtt_topic": "volttron/metering",
        "ven_id": "ven-1",
        "reason": "bad_time",
        "detail": "no time at all",
        "key": b"ven-1",
        "headers": json.dumps({"mqtt-topic": "volttron/metering"}),
        "payload": b'{"venId": "ven-1"}',
        "state": DeadLetterState.OPEN,
        "state_detail": None,
        "replays": 0,
        **fields,
    }


async def write(rows: Connection, letters: Iterable[dict[str, Any]]) -> None:
    """Insert letters, with the partitions of their days."""
    values = [tuple(each.values()) for each in letters]
    for day in {day_of(value[1]) for value in values}:
        if not await rows.fetchval("SELECT to_regclass($1)", partition_name("dead_letters", day)):
            for statement in create_partition("dead_letters", day):
                await rows.execute(statement)
    await rows.executemany(INSERT, values)


async def settle(rows: Connection, ids: Sequence[str], state: DeadLetterState, detail: str | None = None) -> None:
    """Do what the streams do in the end."""
    await rows.execute(MARK, ids, state, detail)
