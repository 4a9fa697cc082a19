"""Energy that all homes have used since midnight UTC, from the buckets of the network that are closed."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import asyncpg

from api.http.problems import OUTAGES
from api.queries.history import fetch_energy
from runtime.database import Pool
from schemas.tables.buckets import WIDTHS, floor_to

EVERY_SECONDS = 10.0
MOST_OPEN = timedelta(hours=1)
"""Of a longer time than this the usage of now tells too little."""

_DAY = WIDTHS["1d"]
_HOUR_SECONDS = 3600.0


class EnergyToday:
    """Looks every ten seconds; what is not in a closed bucket yet is reckoned with the usage of now."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._closed: tuple[datetime, datetime, float] | None = None  # of which day, until when, kWh

    async def follow(self) -> None:
        """Look for ever; while the database is away the last look counts."""
        while True:
            with suppress(*OUTAGES, asyncpg.PostgresError):
                await self.refresh(datetime.now(UTC))
            await asyncio.sleep(EVERY_SECONDS)

    async def refresh(self, now: datetime) -> None:
        """Read how much the closed buckets of this day come to."""
        midnight = floor_to(now, _DAY)
        closed_to, energy = await fetch_energy(self._pool, midnight, now)
        self._closed = midnight, closed_to, energy

    def kwh(self, as_of: datetime, usage_kw: float) -> float | None:
        """Return the energy from midnight to `as_of`, or None where the rollups are too far behind to tell."""
        if self._closed is None:
            return None
        midnight = floor_to(as_of, _DAY)
        day, closed_to, energy = self._closed
        if day > midnight:
            return None  # the totals are still of the day before
        if day < midnight:
            closed_to, energy = midnight, 0.0  # a day has begun since the last look
        still_open = max(as_of - closed_to, timedelta(0))
        if still_open > MOST_OPEN:
            return None
        return energy + usage_kw * still_open.total_seconds() / _HOUR_SECONDS
