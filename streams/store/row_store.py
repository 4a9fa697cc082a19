"""Records as rows under natural keys: what comes again meets its own row and changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from runtime.database import Connection
from schemas.tables.partitioning import day_of
from streams.store.bulk_insert import Encoded, Insert, Row, insert_in_one_transaction
from streams.store.database import Database
from streams.store.partitions import Partitions
from streams.store.recent_keys import RecentKeys

R = TypeVar("R")

TransactionHook = Callable[[Connection], Awaitable[None]]
"""More work for the transaction of a batch."""


@dataclass(frozen=True, slots=True)
class Rows(Generic[R]):
    """What a record is in one table; the table has the columns `ven_id` and `time`."""

    table: str
    columns: tuple[str, ...]
    of: Callable[[Iterable[R]], Sequence[Row] | Encoded]


class RowStore(Generic[R]):
    """Stores batches of records of one kind, each in one transaction, and takes in what they say of their VENs."""

    def __init__(
        self,
        database: Database,
        partitions: Partitions,
        rows: Sequence[Rows[R]],
        take_in: Callable[[Connection, Sequence[R]], Awaitable[None]],
        key: Callable[[R], tuple[Any, ...]] = lambda record: (record.ven_id, record.timestamp),  # type: ignore[attr-defined]
    ) -> None:
        self._database = database
        self._partitions = partitions
        self._rows = rows
        self._take_in = take_in
        self._key = key
        self._recent = RecentKeys()
        self._under_way: list[_UnderWay] = []

    @property
    def tables(self) -> tuple[str, ...]:
        """Where the rows are."""
        return tuple(rows.table for rows in self._rows)

    async def store(self, records: Sequence[R], hook: TransactionHook | None = None) -> None:
        """Store records, and do `hook` with them; at return all is committed.

        Raises:
            DATA_FAULTS: a value that the tables refuse.
        """
        # Of a key that comes twice, the first counts.
        fresh = {self._key(record): record for record in reversed(records)}
        if hook is None:
            fresh = {key: record for key, record in fresh.items() if key not in self._recent}
        inserts = [Insert(rows.table, rows.columns, rows.of(fresh.values())) for rows in self._rows]

        async def finish(connection: Connection) -> None:
            await self._take_in(connection, records)
            if hook is not None:
                await hook(connection)

        days = {day_of(record.timestamp) for record in fresh.values()}  # type: ignore[attr-defined]
        await self._partitions.with_days(days, lambda: insert_in_one_transaction(self._database, inserts, finish))
        self._recent.add(fresh)

    @asynccontextmanager
    async def exclusive_keys(self, records: Sequence[R]) -> AsyncIterator[None]:
        """Wait for batches under way that have a key of these; else both would find it missing, and either might count.

        All keys are taken at once, so no two batches wait for one another.
        """
        keys = {self._key(record) for record in records}
        while other := next((one for one in self._under_way if not one.keys.isdisjoint(keys)), None):
            await other.over.wait()
        mine = _UnderWay(keys, asyncio.Event())
        self._under_way.append(mine)
        try:
            yield
        finally:
            self._under_way.remove(mine)
            mine.over.set()


@dataclass(frozen=True, slots=True, eq=False)
class _UnderWay:
    """The keys of a batch that is being stored, and when it is over."""

    keys: set[Any]
    over: asyncio.Event


class UpsertStore(Generic[R]):
    """Stores records of which only the latest is kept, or that are few: by an upsert that is right in any order."""

    tables: tuple[str, ...] = ()

    def __init__(
        self,
        database: Database,
        upsert: Callable[[Connection, Sequence[R]], Awaitable[None]],
        partitions: Partitions | None = None,
    ) -> None:
        self._database = database
        self._upsert = upsert
        self._partitions = partitions

    def exclusive_keys(self, _records: Sequence[R]) -> AbstractAsyncContextManager[None]:
        """Need no others kept away: it is right in any order, or its batches come one by one."""
        return nullcontext()

    async def store(self, records: Sequence[R], hook: TransactionHook | None = None) -> None:
        """Store records, and do `hook` with them; at return all is committed.

        Raises:
            DATA_FAULTS: a value that the tables refuse.
        """

        async def work(connection: Connection) -> None:
            await self._upsert(connection, records)
            if hook is not None:
                await hook(connection)

        if self._partitions is None:
            await self._database.run(work)
            return
        days = {day_of(record.timestamp) for record in records}  # type: ignore[attr-defined]
        await self._partitions.with_days(days, lambda: self._database.run(work))
