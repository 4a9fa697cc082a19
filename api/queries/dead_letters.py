"""Dead letters: finding, reading, and asking for their replay."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import asyncpg

from runtime.database import Pool, PooledConnection
from schemas.records.dead_letters import DeadLetterState

T = TypeVar("T")
TransactionFactory = Callable[[Pool], AbstractAsyncContextManager[PooledConnection]]
"""How a transaction begins: one that writes down who wanted it, for example."""

NOT_STORED = (DeadLetterState.OPEN, DeadLetterState.REJECTED)
"""States of letters that a replay may help: not yet tried, or tried in vain."""

SUMMARY = """
SELECT id, time, source_topic, mqtt_topic, ven_id, reason, detail, octet_length(payload) AS size,
       state, state_at, state_detail, replays
FROM dead_letters
"""

ONE = """
SELECT id, time, source_topic, source_partition, source_offset, mqtt_topic, ven_id, reason, detail,
       octet_length(payload) AS size, state, state_at, state_detail, replays, payload, corrected_payload, headers
FROM dead_letters
WHERE id = $1
ORDER BY time DESC
LIMIT 1
"""

COUNT = "SELECT count(*) FROM dead_letters "
KEYS = "SELECT id, time FROM dead_letters "
KEYS_OF_IDS = KEYS + "WHERE id = ANY($1) ORDER BY time"

# The time is bounded twice: only the plain comparison keeps partitions out.
OLDER = "time <= {0} AND (time, id) < ({0}, {1})"
NEWEST_FIRST = " ORDER BY time DESC, id DESC LIMIT "

# Those tried least often come first: what is rejected again and again keeps nobody from being tried.
LEAST_TRIED_FIRST = " ORDER BY replays, time, id LIMIT "

# One statement, so that a letter is never marked without a request, nor requested without the mark. Who waited here for
# another's request looks at the state again, as that one left it.
REQUEST = """
WITH requested AS (
    UPDATE dead_letters
    SET state = 'requested', state_at = now(), state_detail = NULL, replays = replays + 1,
        corrected_payload = COALESCE($3, corrected_payload)
    WHERE id = $1 AND time = $2 AND ($4::text[] IS NULL OR state = ANY ($4::text[]))
    RETURNING id, time, replays
)
INSERT INTO replay_requests (letter_id, letter_time, attempt)
SELECT id, time, replays FROM requested
RETURNING letter_id AS id, letter_time AS time, attempt
"""

STATES = """
SELECT id, state, state_detail, replays
FROM dead_letters
WHERE id = ANY($1) AND time >= $2 AND time <= $3
"""

_TRIES = 3


class DeadLetterKey(NamedTuple):
    """What a letter is found by without a look into every partition."""

    time: datetime
    id: str


class RequestedReplay(NamedTuple):
    """A replay that was asked for: the letter, and which attempt it is."""

    key: DeadLetterKey
    attempt: int


Note = Callable[[Sequence[RequestedReplay]], None]


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """The letters that match every field given; no states are all states, times are of receipt, in [start, end)."""

    topic: str | None = None
    ven_id: str | None = None
    reason: str | None = None
    states: tuple[DeadLetterState, ...] = ()
    start: datetime | None = None
    end: datetime | None = None

    def where(self, older_than: DeadLetterKey | None = None) -> tuple[str, list[Any]]:
        """Return the condition with its values; only what is given is in it, so that an index serves it."""
        given: list[tuple[str, Sequence[Any]]] = [
            ("(source_topic = {0} OR mqtt_topic = {0})", (self.topic,)),
            ("ven_id = {0}", (self.ven_id,)),
            ("reason = {0}", (self.reason,)),
            ("state = ANY ({0}::text[])", (self.states or None,)),
            ("time >= {0}", (self.start,)),
            ("time < {0}", (self.end,)),
            (OLDER, older_than or (None, None)),
        ]
        conditions: list[str] = []
        values: list[Any] = []
        for condition, wanted in given:
            if wanted[0] is not None:
                conditions.append(condition.format(*(f"${len(values) + n}" for n in range(1, len(wanted) + 1))))
                values += wanted
        return "WHERE " + " AND ".join(conditions) if conditions else "", values


async def fetch_dead_letters(
    pool: Pool, letters: DeadLetterFilter, *, older_than: DeadLetterKey | None, limit: int
) -> list[asyncpg.Record]:
    """Return the newest letters that match, newest first, from the one after `older_than` on."""
    return await pool.fetch(*page_query(letters, older_than, limit))


async def fetch_keys(
    pool: Pool, letters: DeadLetterFilter, *, older_than: DeadLetterKey | None, limit: int
) -> list[DeadLetterKey]:
    """Return the keys of what `fetch_dead_letters` would."""
    return [
        DeadLetterKey(row["time"], row["id"]) for row in await pool.fetch(*page_query(letters, older_than, limit, KEYS))
    ]


def page_query(
    letters: DeadLetterFilter, older_than: DeadLetterKey | None, limit: int, select: str = SUMMARY
) -> tuple[Any, ...]:
    """Return the query of a page, with its values."""
    where, values = letters.where(older_than)
    return select + where + NEWEST_FIRST + f"${len(values) + 1}", *values, limit


async def fetch_dead_letter(pool: Pool, dead_letter_id: str) -> asyncpg.Record | None:
    """Return a whole letter, or None."""
    return await pool.fetchrow(ONE, dead_letter_id)


async def find_keys(pool: Pool, ids: Sequence[str]) -> dict[str, DeadLetterKey]:
    """Return the keys of those ids that there are."""
    return {row["id"]: DeadLetterKey(row["time"], row["id"]) for row in await pool.fetch(KEYS_OF_IDS, ids)}


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[PooledConnection]:
    """Have a plain transaction inside."""
    async with pool.acquire() as connection, connection.transaction():
        yield connection


async def request_replays(
    pool: Pool,
    keys: Iterable[DeadLetterKey],
    corrected_payload: bytes | None = None,
    begin: TransactionFactory = transaction,
) -> list[RequestedReplay]:
    """Ask for the replay of these letters, all or none, with another payload where one is given."""
    ordered = sorted(keys)

    async def request(connection: PooledConnection) -> list[RequestedReplay]:
        return await _request(connection, ordered, corrected_payload, None)

    return await _in_transaction(pool, request, begin)


async def request_matching(
    pool: Pool, letters: DeadLetterFilter, limit: int, begin: TransactionFactory = transaction, note: Note | None = None
) -> tuple[int, list[RequestedReplay]]:
    """Ask for the replay of what matches, at most `limit`; returns how many match, and what was asked for.

    `note` is told what was asked for before the transaction ends.
    """
    where, values = letters.where()
    chosen = KEYS + where + LEAST_TRIED_FIRST + f"${len(values) + 1}"

    async def request(connection: PooledConnection) -> tuple[int, list[RequestedReplay]]:
        matched = int(await connection.fetchval(COUNT + where, *values))
        keys = sorted(DeadLetterKey(row["time"], row["id"]) for row in await connection.fetch(chosen, *values, limit))
        requested = await _request(connection, keys, None, letters.states or None)
        if note is not None:
            note(requested)
        return matched, requested

    return await _in_transaction(pool, request, begin)


async def _request(
    connection: PooledConnection,
    keys: Sequence[DeadLetterKey],
    corrected_payload: bytes | None,
    states: Sequence[DeadLetterState] | None,
) -> list[RequestedReplay]:
    arguments = [(key.id, key.time, corrected_payload, states) for key in keys]
    rows = await connection.fetchmany(REQUEST, arguments) if arguments else []
    return [RequestedReplay(DeadLetterKey(row["time"], row["id"]), row["attempt"]) for row in rows]


async def _in_transaction(pool: Pool, work: Callable[[PooledConnection], Awaitable[T]], begin: TransactionFactory) -> T:
    """Letters are locked in one order, but whoever marks outcomes may have another: after a deadlock it tries again."""

    async def attempt() -> T:
        async with begin(pool) as connection:
            return await work(connection)

    for _ in range(_TRIES - 1):
        with suppress(asyncpg.DeadlockDetectedError):
            return await attempt()
    return await attempt()


async def fetch_states(pool: Pool, keys: Sequence[DeadLetterKey]) -> list[asyncpg.Record]:
    """Return how these letters stand now."""
    times = [key.time for key in keys]
    return await pool.fetch(STATES, [key.id for key in keys], min(times), max(times))
