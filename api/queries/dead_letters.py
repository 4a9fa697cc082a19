"""Dead letters: search and read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import ARRAY, Column, Select, Text, any_, func, literal, or_, select, tuple_

from api.queries.compiled import compile_sql
from runtime.database import Pool
from schemas.records.dead_letters import DeadLetterState
from schemas.tables.dead_letters import dead_letters

_COLUMNS = dead_letters.c

ONE = """
SELECT id, time, source_topic, source_partition, source_offset, mqtt_topic, ven_id, reason, detail,
       octet_length(payload) AS size, state, state_at, state_detail, replays, payload, corrected_payload, headers
FROM dead_letters
WHERE id = $1
ORDER BY time DESC
LIMIT 1
"""
KEYS_OF_IDS = "SELECT id, time FROM dead_letters WHERE id = ANY($1) ORDER BY time"
NEW = """
SELECT id, time, source_topic, mqtt_topic, ven_id, reason, detail, octet_length(payload) AS size,
       state, state_at, state_detail, replays
FROM dead_letters
WHERE time > $1
ORDER BY time DESC, id DESC
LIMIT $2
"""


class DeadLetterKey(NamedTuple):
    """The primary key. With the time, a look-up reads one partition only."""

    time: datetime
    id: str


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Matches dead letters by all given fields. `states` is empty for any state; times are of receipt: [start, end)."""

    topic: str | None = None
    ven_id: str | None = None
    reason: str | None = None
    states: tuple[DeadLetterState, ...] = ()
    start: datetime | None = None
    end: datetime | None = None

    def apply(self, statement: Select[Any]) -> Select[Any]:
        """Add the conditions. Fields that are not given add none, so that PostgreSQL can use an index."""
        if self.topic is not None:
            statement = statement.where(or_(_COLUMNS.source_topic == self.topic, _COLUMNS.mqtt_topic == self.topic))
        if self.ven_id is not None:
            statement = statement.where(_COLUMNS.ven_id == self.ven_id)
        if self.reason is not None:
            statement = statement.where(_COLUMNS.reason == self.reason)
        if self.states:
            statement = statement.where(_COLUMNS.state == any_(literal(list(self.states), ARRAY(Text))))
        if self.start is not None:
            statement = statement.where(_COLUMNS.time >= self.start)
        if self.end is not None:
            statement = statement.where(_COLUMNS.time < self.end)
        return statement


def page(
    columns: Sequence[Column[Any] | Any], letters: DeadLetterFilter, older_than: DeadLetterKey | None, limit: int
) -> Select[Any]:
    """Return the statement for a page: the newest matching dead letters after the key `older_than`."""
    statement = letters.apply(select(*columns))
    if older_than is not None:
        key = tuple_(_COLUMNS.time, _COLUMNS.id)
        # The plain comparison of the time is needed too: only it prunes partitions.
        statement = statement.where(_COLUMNS.time <= older_than.time, key < tuple_(*older_than))
    return statement.order_by(_COLUMNS.time.desc(), _COLUMNS.id.desc()).limit(limit)


SUMMARY = (
    *(_COLUMNS[name] for name in ("id", "time", "source_topic", "mqtt_topic", "ven_id", "reason", "detail")),
    func.octet_length(_COLUMNS.payload).label("size"),
    *(_COLUMNS[name] for name in ("state", "state_at", "state_detail", "replays")),
)
KEY = (_COLUMNS.id, _COLUMNS.time)


async def fetch_dead_letters(
    pool: Pool, letters: DeadLetterFilter, *, older_than: DeadLetterKey | None, limit: int
) -> list[asyncpg.Record]:
    """Return the newest dead letters that match, newest first, from the one after `older_than` on."""
    query = compile_sql(page(SUMMARY, letters, older_than, limit))
    return await pool.fetch(query.sql, *query.values)


async def fetch_keys(
    pool: Pool, letters: DeadLetterFilter, *, older_than: DeadLetterKey | None, limit: int
) -> list[DeadLetterKey]:
    """Return the keys of the rows that `fetch_dead_letters` returns."""
    query = compile_sql(page(KEY, letters, older_than, limit))
    return [DeadLetterKey(row["time"], row["id"]) for row in await pool.fetch(query.sql, *query.values)]


async def fetch_dead_letter(pool: Pool, dead_letter_id: str) -> asyncpg.Record | None:
    """Return a dead letter with its payload and headers, or None."""
    return await pool.fetchrow(ONE, dead_letter_id)


async def find_keys(pool: Pool, ids: Sequence[str]) -> dict[str, DeadLetterKey]:
    """Return the keys of those ids that exist."""
    return {row["id"]: DeadLetterKey(row["time"], row["id"]) for row in await pool.fetch(KEYS_OF_IDS, ids)}


async def fetch_new_dead_letters(pool: Pool, since: datetime, limit: int) -> list[asyncpg.Record]:
    """Return the dead letters received after `since`, the newest first."""
    return await pool.fetch(NEW, since, limit)
