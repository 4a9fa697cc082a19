"""Readings that are rolled up."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from schemas.records.telemetry import Reading
from schemas.settings.blocks import DatabaseSettings
from streams.rollups.job import RollUp
from streams.store.database import database as open_database
from tests.support.readings import Stores, reading, stores

HOLD_SECONDS = 1200.0
"""As ENERGY_HOLD_SECONDS by default."""


@asynccontextmanager
async def rolling(settings: DatabaseSettings, begin: datetime) -> AsyncIterator[tuple[Stores, RollUp]]:
    """Open a sink worker's stores and its roll-up job, on a database whose rollups begin at a time."""
    async with stores(settings) as store, open_database(settings, "test-rollups") as beside:
        await beside.run(
            lambda connection: connection.execute(
                "UPDATE rollup_progress SET late_before = $1, rolled_up_to = $1", begin
            )
        )
        yield store, RollUp(beside, store.partitions, HOLD_SECONDS)


def some(choose: random.Random, number: int, hours: float) -> list[Reading]:
    """Readings of three VENs, some without power, some in an event."""
    return [
        reading(
            f"ven-{choose.randrange(3)}",
            choose.randrange(int(hours * 3600)),
            used_power_kw=choose.choice([None, 0.0, choose.uniform(-5, 20)]),
            shed_power_kw=choose.choice([None, choose.uniform(0, 5)]),
            event_id=choose.choice([None, None, "evt-1", "evt-2"]),
            requested_reduction_kw=choose.choice([None, 2.0]),
        )
        for _ in range(number)
    ]
