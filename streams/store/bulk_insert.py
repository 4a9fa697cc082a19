"""Inserts rows with natural keys: by COPY, and more slowly if some of the rows exist already."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from runtime.database import Connection
from runtime.metrics import ROWS_STORED
from streams.store.database import Database, TransactionHook

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows in the binary format of COPY, and their number."""

    data: bytes
    rows: int

    def __len__(self) -> int:
        return self.rows


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows for one table; their values are in the order of `columns`."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Row] | Encoded


async def copy_new(connection: Connection, inserts: Sequence[Insert]) -> list[int]:
    """COPY into the tables; return the number of new rows per table, which is all of them.

    Raises:
        asyncpg.UniqueViolationError: a row exists already; the transaction must be rolled back.
    """
    for insert in inserts:
        if insert.rows:
            await _copy(connection, insert.table, insert)
    return [len(insert.rows) for insert in inserts]


async def insert_missing(connection: Connection, inserts: Sequence[Insert]) -> list[int]:
    """COPY into temporary tables, then insert the rows that are missing; existing rows stay unchanged.

    Returns the number of new rows per table.
    """
    new = [0] * len(inserts)
    for number, insert in enumerate(inserts):
        if not insert.rows:
            continue
        columns = ", ".join(insert.columns)
        staging = f"{insert.table}_staging"
        await connection.execute(
            f"CREATE TEMPORARY TABLE {staging} ON COMMIT DROP AS SELECT {columns} FROM {insert.table} WITH NO DATA"  # noqa: S608 - constants of this code
        )
        await _copy(connection, staging, insert)
        done = await connection.execute(
            f"INSERT INTO {insert.table} ({columns}) SELECT {columns} FROM {staging} ON CONFLICT DO NOTHING"  # noqa: S608 - constants of this code
        )
        new[number] = int(done.rpartition(" ")[2])  # "INSERT 0 5"
    return new


async def _copy(connection: Connection, table: str, insert: Insert) -> None:
    if isinstance(insert.rows, Encoded):
        # A memoryview, because asyncpg takes bytes for a file name, and wraps a file in a reference cycle that keeps
        # the rows in memory until the next garbage collection. Any, because the type stubs lack buffers.
        source: Any = memoryview(insert.rows.data)
        await connection.copy_to_table(table, source=source, columns=insert.columns, format="binary")
    else:
        await connection.copy_records_to_table(table, columns=insert.columns, records=insert.rows)


async def insert_in_one_transaction(
    database: Database,
    inserts: Sequence[Insert],
    hook: TransactionHook,
    recheck: Callable[[Connection], Awaitable[Sequence[Insert]]] | None = None,
) -> None:
    """Insert all rows and run `hook` in one transaction.

    COPY is tried first, because rows are almost always new; the second way costs about twice as much. `recheck` is
    called if some rows exist already, and returns what to insert instead.
    """

    async def copy(connection: Connection) -> list[int]:
        new = await copy_new(connection, inserts)
        await hook(connection)
        return new

    async def copy_through_staging(connection: Connection) -> list[int]:
        new = await insert_missing(connection, inserts if recheck is None else await recheck(connection))
        await hook(connection)
        return new

    try:
        new = await database.run(copy)
    except asyncpg.UniqueViolationError:
        new = await database.run(copy_through_staging)
    for insert, number in zip(inserts, new, strict=True):
        ROWS_STORED.labels(insert.table).inc(number)
