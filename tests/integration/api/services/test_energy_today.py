"""The energy of this day in the API, from the row that the rollups store."""

from datetime import UTC, datetime, timedelta

from api.http.pools import open_pools
from api.services.energy_today import EnergyToday
from runtime.database import Connection
from schemas.settings.blocks import ApiSettings, DatabaseSettings

INSERT = "INSERT INTO energy_days (day, shown_kwh, shown_from, previous_kwh) VALUES ($1, $2, $3, $4)"
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)


async def test_all_workers_change_over_at_the_same_time(database: DatabaseSettings, rows: Connection) -> None:
    await rows.execute(INSERT, NOON.date(), 12.5, NOON, 12.0)
    async with open_pools(database, ApiSettings()) as (pool, *_):
        workers = [EnergyToday(pool), EnergyToday(pool)]
        for worker, early in zip(workers, (2.9, 0.1), strict=True):
            assert worker.kwh(NOON) is None
            await worker.refresh(NOON - timedelta(seconds=early))
    for worker in workers:
        assert worker.kwh(NOON - timedelta(milliseconds=1)) == 12.0
        assert worker.kwh(NOON) == 12.5


async def test_a_new_day_begins_with_nothing(database: DatabaseSettings, rows: Connection) -> None:
    await rows.execute(INSERT, NOON.date(), 12.5, NOON, 12.0)
    tomorrow = NOON + timedelta(days=1)
    async with open_pools(database, ApiSettings()) as (pool, *_):
        energy = EnergyToday(pool)
        await energy.refresh(NOON)
        assert energy.kwh(tomorrow) is None
        await energy.refresh(tomorrow)
        assert energy.kwh(tomorrow) == 0.0
