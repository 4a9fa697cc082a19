"""Stores the live totals every ten seconds in the table `network_stats`."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from runtime.database import Connection
from schemas.base.time_window import TimeWindow
from schemas.records.network import NETWORK_SCOPE, NetworkTotals, decode_network_totals
from schemas.records.telemetry import astuple, encode_record
from schemas.records.topics import STATS
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from schemas.tables.buckets import floor_to
from schemas.tables.partitioning import day_of
from streams.engine.batch import Record
from streams.engine.batch_processing import merged_batches
from streams.store.database import Database
from streams.store.day_partitions import DayPartitions

BUCKET_WIDTH = timedelta(seconds=10)

# The first totals of a bucket stay, so that redelivered records change nothing.
INSERT = """
INSERT INTO network_stats (time, as_of, online_vens, household_usage_kw, current_load_reduction_kw,
                           controllable_power_kw, potential_load_reduction_kw, load_types)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (time) DO NOTHING
"""


def add_live_totals_history(
    app: Any, kafka: KafkaSettings, streams: StreamsSettings, database: Database, partitions: DayPartitions
) -> None:
    """Register the agent with the app."""
    history = LiveTotalsHistory(database, partitions, streams.window)

    @app.agent(app.batches_of(kafka.topics(STATS)), name="sink-network-stats")  # type: ignore[untyped-decorator]
    async def store_totals(stream: Any) -> None:
        async for batches in merged_batches(stream, streams.streams_batch_records):
            await history.store(record for batch in batches for record in batch.records)


class LiveTotalsHistory:
    """Stores the first totals of each bucket of `BUCKET_WIDTH`."""

    def __init__(self, database: Database, partitions: DayPartitions, window: TimeWindow) -> None:
        self._database = database
        self._partitions = partitions
        self._window = window
        self._last_stored: datetime | None = None

    async def store(self, records: Iterable[Record]) -> None:
        """Store the totals that are the first of their bucket; other records are skipped."""
        now = datetime.now(UTC)
        firsts: dict[datetime, NetworkTotals] = {}
        for record in records:
            totals = network_totals(record)
            if totals is not None and self._window.check(totals.as_of, now) is None:
                firsts.setdefault(floor_to(totals.as_of, BUCKET_WIDTH), totals)
        # Nine of ten records belong to the bucket that was stored last.
        rows = [_row(time, totals) for time, totals in firsts.items() if time != self._last_stored]
        if not rows:
            return

        async def insert(connection: Connection) -> None:
            await connection.executemany(INSERT, rows)

        await self._partitions.with_days({day_of(row[0]) for row in rows}, lambda: self._database.run(insert))
        self._last_stored = rows[-1][0]


def network_totals(record: Record) -> NetworkTotals | None:
    """Decode a record; None if it is not the network's totals, or if PostgreSQL cannot store it."""
    if record.key != NETWORK_SCOPE.encode():
        return None
    try:
        totals = decode_network_totals(record.value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    # PostgreSQL stores no NUL characters.
    return None if any("\0" in name for name in totals.load_types) else totals


def _row(time: datetime, totals: NetworkTotals) -> tuple[Any, ...]:
    return (time, totals.as_of, *astuple(totals.totals), encode_record(totals.load_types).decode())
