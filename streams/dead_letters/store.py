"""Stores dead letters in the table `dead_letters`, the index of the dead-letter topics."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from runtime.database import Connection
from schemas.base.time_window import TimeWindow
from schemas.tables.partitioning import day_of
from streams.dead_letters.dead_letter import COLUMNS, DeadLetter, read_dead_letter
from streams.dead_letters.replay_store import mark_rejected
from streams.engine.batch import Record
from streams.store.bulk_insert import Insert, insert_in_one_transaction
from streams.store.database import Database
from streams.store.day_partitions import DayPartitions

# Operators see the clock skew of registered VENs; others have no row.
UPDATE_CLOCK_SKEW = """
UPDATE ven_status AS known SET clock_skew_seconds = fresh.skew
FROM unnest($1::text[], $2::float8[]) AS fresh(ven_id, skew)
WHERE known.ven_id = fresh.ven_id
"""


class DeadLetterStore:
    """Stores batches of dead letters, each in one transaction; a dead letter that was written twice is one row."""

    def __init__(self, database: Database, partitions: DayPartitions, window: TimeWindow) -> None:
        self._database = database
        self._partitions = partitions
        self._window = window

    async def store(self, records: Iterable[Record]) -> None:
        """Store records of dead-letter topics; return after the commit."""
        dead_letters = [read_dead_letter(record, self._window, datetime.now(UTC)) for record in records]
        fresh = [dead_letter for dead_letter in dead_letters if not await self._is_rejected_replay(dead_letter)]
        rows = {dead_letter.row[:2]: dead_letter.row for dead_letter in reversed(fresh)}
        skews = {
            dead_letter.ven_id: dead_letter.clock_skew for dead_letter in fresh if dead_letter.clock_skew is not None
        }

        async def update_clock_skew(connection: Connection) -> None:
            if skews:
                await connection.execute(UPDATE_CLOCK_SKEW, list(skews), list(skews.values()))

        inserts = (Insert("dead_letters", COLUMNS, list(rows.values())),)
        days = {day_of(dead_letter.time) for dead_letter in fresh}
        await self._partitions.with_days(
            days, lambda: insert_in_one_transaction(self._database, inserts, update_clock_skew)
        )

    async def _is_rejected_replay(self, dead_letter: DeadLetter) -> bool:
        """Update the original dead letter if this one is its replay, rejected again; return whether it is."""
        replay = dead_letter.replay_of
        if replay is None:
            return False
        reason = f"{dead_letter.reason}: {dead_letter.detail}"
        return await self._database.run(partial(mark_rejected, replay=replay, reason=reason))
