"""Readings for tests, and a store with everything it needs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from schemas.readings import FaultReport, Load, Reading
from schemas.settings import DatabaseSettings
from schemas.window import Window
from streams.store.database import Database, database
from streams.store.partitions import Partitions
from streams.store.readings import fault_store, reading_store
from streams.store.rows import RowStore

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
"""A time of yesterday: it surely has its partition, and is not in the future."""

HVAC = Load("hvac", "HVAC", "hvac", 7.2, 2.0, 1.5, priority=5)
FRIDGE = Load("fridge", None, None, 1.0, 0.25, 0.0, enabled=False)


def reading(ven_id: str = "ven-1", second: float = 0, **fields: Any) -> Reading:
    """Make a reading of yesterday's noon plus some seconds, received when it was measured."""
    moment = NOON + timedelta(seconds=second)
    values: dict[str, Any] = {"timestamp": moment, "received_at": moment, "used_power_kw": 1.0}
    return Reading(ven_id=ven_id, **{**values, **fields})


class Stores(NamedTuple):
    """What one sink worker has."""

    database: Database
    partitions: Partitions
    readings: RowStore[Reading]
    faults: RowStore[FaultReport]


@asynccontextmanager
async def stores(settings: DatabaseSettings, *, retention_days: int = 90) -> AsyncIterator[Stores]:
    """Open the stores of one worker."""
    async with database(settings, "test-sink") as opened:
        partitions = Partitions(opened, Window(retention_days, timedelta(minutes=5)), 7)
        yield Stores(opened, partitions, reading_store(opened, partitions), fault_store(opened, partitions))
