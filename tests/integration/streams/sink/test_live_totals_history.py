"""Live totals in PostgreSQL: the first of every ten seconds is stored once."""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from runtime.database import Connection
from schemas.records.network import LoadTypeTotals, NetworkTotals, Totals
from schemas.records.telemetry import encode_record
from schemas.settings.blocks import DatabaseSettings
from schemas.tables.buckets import floor_to
from streams.sink.live_totals_history import BUCKET_WIDTH, LiveTotalsHistory
from tests.support.pipeline import WINDOW
from tests.support.readings import stores

BEGIN = floor_to(datetime.now(UTC) - timedelta(minutes=5), BUCKET_WIDTH)


class Record(NamedTuple):
    value: bytes
    key: bytes = b"network"


def totals(second: float, usage: float) -> Record:
    types = {"hvac": LoadTypeTotals(7.0, 1.5, 2.0)}
    return Record(encode_record(NetworkTotals(BEGIN + timedelta(seconds=second), Totals(3, usage, 1, 2, 3), types)))


async def stored_totals(rows: Connection) -> list[Any]:
    found = await rows.fetch("SELECT time, household_usage_kw FROM network_stats ORDER BY time")
    return [((row["time"] - BEGIN).total_seconds(), row["household_usage_kw"]) for row in found]


async def test_first_totals_of_each_bucket_are_stored_once(database: DatabaseSettings, rows: Connection) -> None:
    async with stores(database) as store:
        history = LiveTotalsHistory(store.database, store.partitions, WINDOW)
        everything = [totals(second, float(second)) for second in range(3, 28)]
        invalid = [Record(b"junk"), totals(1e9, 1.0), totals(-1e9, 1.0), Record(everything[0].value, b"type:hvac")]
        await history.store([*invalid, *everything[:9]])
        await history.store(everything[9:])
        expected = [(0, 3.0), (10, 10.0), (20, 20.0)]
        assert await stored_totals(rows) == expected
        # After a crash, some records are delivered again.
        await LiveTotalsHistory(store.database, store.partitions, WINDOW).store(everything[12:])
        assert await stored_totals(rows) == expected
    row = await rows.fetchrow("SELECT * FROM network_stats LIMIT 1")
    assert row is not None
    assert (row["online_vens"], row["current_load_reduction_kw"], row["potential_load_reduction_kw"]) == (3, 1, 3)
    assert "totalCapacityKw" in row["load_types"]


async def test_totals_of_a_day_without_partition_create_it(database: DatabaseSettings, rows: Connection) -> None:
    async with stores(database) as store:
        history = LiveTotalsHistory(store.database, store.partitions, WINDOW)
        await history.store([totals(-40 * 86_400, 5.0)])
    assert await stored_totals(rows) == [(-40 * 86_400, 5.0)]
