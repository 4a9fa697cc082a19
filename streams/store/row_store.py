"""Stores batches of records as rows with natural keys; duplicates and conflicts change nothing."""

import asyncio
from collections import ChainMap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from runtime.database import Connection
from schemas.tables.partitioning import day_of
from streams.store.bulk_insert import Encoded, Insert, Row, insert_in_one_transaction
from streams.store.database import Database, TransactionHook
from streams.store.day_partitions import DayPartitions
from streams.store.recent_keys import RecentKeys

R = TypeVar("R")

Update = Callable[[Connection, Sequence[R]], Awaitable[None]]
"""Statements for all records of a batch, with duplicates and without conflicts."""

StoredDigests = Callable[[Connection, Sequence[R]], Awaitable[Mapping[Any, int | None]]]
"""Returns the digests of rows that are stored under the keys of these records, by key."""


@dataclass(frozen=True, slots=True)
class TableRows(Generic[R]):
    """How records become rows of one table; the table has the columns `ven_id` and `time`."""

    table: str
    columns: tuple[str, ...]
    rows_of: Callable[[Iterable[R]], Sequence[Row] | Encoded]


class RowStore(Generic[R]):
    """Stores records of one kind by COPY, and updates what is derived from them, in one transaction per batch."""

    def __init__(
        self,
        database: Database,
        partitions: DayPartitions,
        tables: Sequence[TableRows[R]],
        update: Update[R],
        key: Callable[[R], tuple[Any, ...]] = lambda record: (record.ven_id, record.timestamp),  # type: ignore[attr-defined]
        stored_digests: StoredDigests[R] | None = None,
    ) -> None:
        """Without `stored_digests`, any two records with the same key are duplicates."""
        self._database = database
        self._partitions = partitions
        self._tables = tables
        self._update = update
        self._key = key
        self._stored_digests = stored_digests
        self._recent = RecentKeys()
        self._in_progress: list[_BatchInProgress] = []

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that hold a row of each record."""
        return tuple(table.table for table in self._tables)

    async def store(self, records: Sequence[R], hook: TransactionHook | None = None) -> Sequence[R]:
        """Store records and run `hook` in one transaction; return the conflicting records after the commit.

        The first record of a key counts. Later ones with the same content are duplicates; those with other content are
        conflicts, which change nothing, and for which `hook` does not run.

        Raises:
            DATA_FAULTS: the database refuses a value.
        """
        known: MutableMapping[Any, int | None] = self._recent if hook is None else {}
        batch = self._compare(records, known)
        if batch.conflicts and known:
            # The rows may be gone since: an operator removed wrong readings, and the right ones follow.
            known = {}
            batch = self._compare(records, known)

        async def recheck(connection: Connection) -> list[Insert]:
            nonlocal batch
            if self._stored_digests is not None:
                # Records without a digest, replays among them, add the rows that are missing.
                digested = [record for record in batch.fresh.values() if _digest(record) is not None]
                stored = await self._stored_digests(connection, digested)
                batch = self._compare(records, ChainMap(dict(stored), known))
            return self._inserts(batch)

        async def finish(connection: Connection) -> None:
            if batch.accepted:
                await self._update(connection, batch.accepted)
            if hook is not None and not batch.conflicts:
                await hook(connection)

        days = {day_of(record.timestamp) for record in batch.fresh.values()}  # type: ignore[attr-defined]
        await self._partitions.with_days(
            days, lambda: insert_in_one_transaction(self._database, self._inserts(batch), finish, recheck)
        )
        self._recent.add({key: _digest(record) for key, record in batch.fresh.items()})
        return batch.conflicts

    def _compare(self, records: Sequence[R], known: Mapping[Any, int | None]) -> "_Compared[R]":
        """Sort the records of a batch by what is `known` of their keys, and by the earlier records of the batch."""
        fresh: dict[Any, R] = {}
        accepted: list[R] = []
        conflicts: list[R] = []
        for record in records:
            key = self._key(record)
            if key in fresh:
                first = _digest(fresh[key])
            elif key in known:
                first = known[key]
            else:
                fresh[key] = record
                accepted.append(record)
                continue
            # Records without a digest count as duplicates.
            conflicting = first is not None and _digest(record) not in (None, first)
            (conflicts if conflicting else accepted).append(record)
        return _Compared(fresh, accepted, conflicts)

    def _inserts(self, batch: "_Compared[R]") -> list[Insert]:
        return [Insert(table.table, table.columns, table.rows_of(batch.fresh.values())) for table in self._tables]

    @asynccontextmanager
    async def exclusive_keys(self, records: Sequence[R]) -> AsyncIterator[None]:
        """Wait until no other batch in progress has a key of these records, and reserve their keys.

        Otherwise two batches would both find a key missing, and either could win. All keys are reserved at once, so
        batches cannot deadlock.
        """
        keys = {self._key(record) for record in records}
        while other := next((batch for batch in self._in_progress if not batch.keys.isdisjoint(keys)), None):
            await other.finished.wait()
        batch = _BatchInProgress(keys, asyncio.Event())
        self._in_progress.append(batch)
        try:
            yield
        finally:
            self._in_progress.remove(batch)
            batch.finished.set()


@dataclass(frozen=True, slots=True)
class _Compared(Generic[R]):
    """The records of a batch: `fresh` ones by key, `accepted` ones (fresh and duplicates), and `conflicts`."""

    fresh: dict[Any, R]
    accepted: list[R]
    conflicts: list[R]


def _digest(record: Any) -> int | None:
    digest: int | None = getattr(record, "digest", None)
    return digest


@dataclass(frozen=True, slots=True, eq=False)
class _BatchInProgress:
    """The keys of a batch that is being stored."""

    keys: set[Any]
    finished: asyncio.Event


class UpsertStore(Generic[R]):
    """Stores records by an upsert that is correct in any order: rare records, and those of which the latest counts."""

    tables: tuple[str, ...] = ()

    def __init__(self, database: Database, upsert: Update[R], partitions: DayPartitions | None = None) -> None:
        self._database = database
        self._upsert = upsert
        self._partitions = partitions

    def exclusive_keys(self, _records: Sequence[R]) -> AbstractAsyncContextManager[None]:
        """Reserve nothing: the upsert is correct in any order."""
        return nullcontext()

    async def store(self, records: Sequence[R], hook: TransactionHook | None = None) -> Sequence[R]:
        """Store records and run `hook` in one transaction; return no conflicts after the commit.

        Raises:
            DATA_FAULTS: the database refuses a value.
        """

        async def work(connection: Connection) -> None:
            await self._upsert(connection, records)
            if hook is not None:
                await hook(connection)

        if self._partitions is None:
            await self._database.run(work)
            return ()
        days = {day_of(record.timestamp) for record in records}  # type: ignore[attr-defined]
        await self._partitions.with_days(days, lambda: self._database.run(work))
        return ()
