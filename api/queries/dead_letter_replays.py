"""Requests for replays of dead letters."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import NamedTuple, TypeVar

import asyncpg
from sqlalchemy import func, select

from api.queries.compiled import compile_sql
from api.queries.dead_letters import KEY, DeadLetterFilter, DeadLetterKey
from runtime.database import Pool, PooledConnection
from schemas.records.dead_letters import DeadLetterState
from schemas.tables.dead_letters import dead_letters

T = TypeVar("T")
TransactionFactory = Callable[[Pool], AbstractAsyncContextManager[PooledConnection]]
"""Opens a transaction, for example one that also writes to the audit."""

NOT_STORED = (DeadLetterState.OPEN, DeadLetterState.REJECTED)
"""States in which a replay may help: never replayed, or replayed and rejected again."""

# One statement, so that a dead letter is never marked without a request, nor requested without the mark. A concurrent
# request waits for the row lock and then checks the state again.
REQUEST = """
WITH requested AS (
    UPDATE dead_letters
    SET state = 'requested', state_at = now(), state_detail = NULL, replays = replays + 1,
        corrected_payload = COALESCE($3, corrected_payload)
    WHERE id = $1 AND time = $2 AND ($4::text[] IS NULL OR state = ANY ($4::text[]))
    RETURNING id, time, replays
), queued AS (INSERT INTO outbox (kind, key, time) SELECT 'replay', id, time FROM requested)
SELECT id, time, replays AS attempt FROM requested
"""

STATES = """
SELECT id, state, state_detail, replays
FROM dead_letters
WHERE id = ANY($1) AND time >= $2 AND time <= $3
"""

_ATTEMPTS = 3


class RequestedReplay(NamedTuple):
    """A requested replay: the dead letter, and the number of the attempt."""

    key: DeadLetterKey
    attempt: int


OnRequested = Callable[[Sequence[RequestedReplay]], None]


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[PooledConnection]:
    """Open a plain transaction."""
    async with pool.acquire() as connection, connection.transaction():
        yield connection


async def request_replays(
    pool: Pool,
    keys: Iterable[DeadLetterKey],
    corrected_payload: bytes | None = None,
    begin: TransactionFactory = transaction,
) -> list[RequestedReplay]:
    """Request the replay of all these dead letters or none, with the corrected payload if there is one."""
    ordered = sorted(keys)

    async def request(connection: PooledConnection) -> list[RequestedReplay]:
        return await _request(connection, ordered, corrected_payload, None)

    return await _in_transaction(pool, request, begin)


async def request_matching(
    pool: Pool,
    letters: DeadLetterFilter,
    limit: int,
    begin: TransactionFactory = transaction,
    on_requested: OnRequested | None = None,
) -> tuple[int, list[RequestedReplay]]:
    """Request the replay of at most `limit` matching dead letters; return how many match, and the requests.

    `on_requested` is called with the requests before the transaction commits. The least replayed come first, so that
    those that are rejected again and again do not block the others.
    """
    count = compile_sql(letters.apply(select(func.count()).select_from(dead_letters)))
    order = (dead_letters.c.replays, dead_letters.c.time, dead_letters.c.id)
    chosen = compile_sql(letters.apply(select(*KEY)).order_by(*order).limit(limit))

    async def request(connection: PooledConnection) -> tuple[int, list[RequestedReplay]]:
        matched = int(await connection.fetchval(count.sql, *count.values))
        rows = await connection.fetch(chosen.sql, *chosen.values)
        keys = sorted(DeadLetterKey(row["time"], row["id"]) for row in rows)
        requested = await _request(connection, keys, None, letters.states or None)
        if on_requested is not None:
            on_requested(requested)
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
    """Run `work`, again after a deadlock: rows are locked in key order here, but not where results are stored."""

    async def attempt() -> T:
        async with begin(pool) as connection:
            return await work(connection)

    for _ in range(_ATTEMPTS - 1):
        with suppress(asyncpg.DeadlockDetectedError):
            return await attempt()
    return await attempt()


async def fetch_states(pool: Pool, keys: Sequence[DeadLetterKey]) -> list[asyncpg.Record]:
    """Return the current states of these dead letters."""
    times = [key.time for key in keys]
    return await pool.fetch(STATES, [key.id for key in keys], min(times), max(times))
