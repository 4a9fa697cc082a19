"""Inserting rows whose natural keys may be there already: quickly when none is, rightly when some are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg

from runtime.database import Connection
from streams.store.database import Database

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows for one table, in the order of its columns as named."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Row]


async def copy_new(connection: Connection, inserts: Sequence[Insert]) -> None:
    """COPY straight into the tables.

    Raises:
        asyncpg.UniqueViolationError: a row is there already; nothing of the transaction can be kept.
    """
    for insert in inserts:
        if insert.rows:
            await connection.copy_records_to_table(insert.table, columns=insert.columns, records=insert.rows)


async def copy_missing(connection: Connection, inserts: Sequence[Insert]) -> None:
    """COPY into temporary tables, and from there what is missing; a row that is there is left as it is."""
    for insert in inserts:
        if not insert.rows:
            continue
        columns = ", ".join(insert.columns)
        staging = f"{insert.table}_staging"
        await connection.execute(
            f"CREATE TEMPORARY TABLE {staging} ON COMMIT DROP AS SELECT {columns} FROM {insert.table} WITH NO DATA"  # noqa: S608 - names of our own tables
        )
        await connection.copy_records_to_table(staging, columns=insert.columns, records=insert.rows)
        await connection.execute(
            f"INSERT INTO {insert.table} ({columns}) SELECT {columns} FROM {staging} ON CONFLICT DO NOTHING"  # noqa: S608 - names of our own tables
        )


async def insert_in_one_transaction(database: Database, inserts: Sequence[Insert], also: Any) -> None:
    """Insert all rows, and do `also` (an async function of the connection), in one transaction.

    Optimistic, because almost always no row is there yet; the second way costs about twice as much.
    """

    async def optimistic(connection: Connection) -> None:
        await copy_new(connection, inserts)
        await also(connection)

    async def careful(connection: Connection) -> None:
        await copy_missing(connection, inserts)
        await also(connection)

    try:
        await database.run(optimistic)
    except asyncpg.UniqueViolationError:
        await database.run(careful)
