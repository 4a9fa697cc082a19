"""Inserting rows whose natural keys may be there already: quickly when none is, rightly when some are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from runtime.database import Connection
from runtime.metrics import ROWS_STORED
from streams.store.database import Database

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows in the binary form of COPY, and how many they are."""

    data: bytes
    rows: int

    def __len__(self) -> int:
        return self.rows


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows for one table, in the order of its columns as named."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Row] | Encoded


async def copy_new(connection: Connection, inserts: Sequence[Insert]) -> list[int]:
    """COPY straight into the tables; returns how many rows of each are new, which is all.

    Raises:
        asyncpg.UniqueViolationError: a row is there already; nothing of the transaction can be kept.
    """
    for insert in inserts:
        if insert.rows:
            await _copy(connection, insert.table, insert)
    return [len(insert.rows) for insert in inserts]


async def copy_missing(connection: Connection, inserts: Sequence[Insert]) -> list[int]:
    """COPY into temporary tables, and from there what is missing; a row that is there is left as it is.

    Returns how many rows of each are new.
    """
    new = [0] * len(inserts)
    for number, insert in enumerate(inserts):
        if not insert.rows:
            continue
        columns = ", ".join(insert.columns)
        staging = f"{insert.table}_staging"
        await connection.execute(
            f"CREATE TEMPORARY TABLE {staging} ON COMMIT DROP AS SELECT {columns} FROM {insert.table} WITH NO DATA"  # noqa: S608 - names of our own tables
        )
        await _copy(connection, staging, insert)
        done = await connection.execute(
            f"INSERT INTO {insert.table} ({columns}) SELECT {columns} FROM {staging} ON CONFLICT DO NOTHING"  # noqa: S608 - names of our own tables
        )
        new[number] = int(done.rpartition(" ")[2])  # "INSERT 0 5"
    return new


async def _copy(connection: Connection, table: str, insert: Insert) -> None:
    if isinstance(insert.rows, Encoded):
        # As a buffer: around a file asyncpg makes a class, which is a cycle, and all rows stay in it until garbage is
        # looked for; bytes it would take for the name of a file. (The stubs do not know of buffers, its documents do.)
        source: Any = memoryview(insert.rows.data)
        await connection.copy_to_table(table, source=source, columns=insert.columns, format="binary")
    else:
        await connection.copy_records_to_table(table, columns=insert.columns, records=insert.rows)


async def insert_in_one_transaction(database: Database, inserts: Sequence[Insert], hook: Any) -> None:
    """Insert all rows, and do `hook` (an async function of the connection), in one transaction.

    Optimistic, because almost always no row is there yet; the second way costs about twice as much.
    """

    async def optimistic(connection: Connection) -> list[int]:
        new = await copy_new(connection, inserts)
        await hook(connection)
        return new

    async def careful(connection: Connection) -> list[int]:
        new = await copy_missing(connection, inserts)
        await hook(connection)
        return new

    try:
        new = await database.run(optimistic)
    except asyncpg.UniqueViolationError:
        new = await database.run(careful)
    for insert, number in zip(inserts, new, strict=True):
        ROWS_STORED.labels(insert.table).inc(number)
