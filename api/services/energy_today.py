"""The energy that all VENs have used since midnight UTC, from the network's closed buckets."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from api.queries.network_history import fetch_energy
from runtime.database import DATABASE_ERRORS, Pool
from schemas.tables.buckets import HOUR, WIDTHS, floor_to

REFRESH_SECONDS = 10.0
MAX_OPEN = timedelta(hours=1)
"""A longer time cannot be estimated from the current power."""

_DAY = WIDTHS["1d"]


class _ClosedEnergy(NamedTuple):
    midnight: datetime
    closed_to: datetime
    kwh: float


class EnergyToday:
    """Sums the closed buckets every ten seconds; the time since then is estimated from the current power."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._closed: _ClosedEnergy | None = None

    async def run(self) -> None:
        """Refresh for ever; while the database is down, the last result counts."""
        while True:
            with suppress(*DATABASE_ERRORS):
                await self.refresh(datetime.now(UTC))
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self, now: datetime) -> None:
        """Read the energy of the closed buckets of this day."""
        midnight = floor_to(now, _DAY)
        self._closed = _ClosedEnergy(midnight, *await fetch_energy(self._pool, midnight, now))

    def kwh(self, as_of: datetime, usage_kw: float) -> float | None:
        """Return the energy (kWh) from midnight to `as_of`, or None if the rollups are too far behind."""
        if self._closed is None:
            return None
        midnight = floor_to(as_of, _DAY)
        closed = self._closed
        if closed.midnight > midnight:
            return None  # the totals are of the day before
        if closed.midnight < midnight:
            closed = _ClosedEnergy(midnight, midnight, 0.0)  # a new day since the last refresh
        still_open = max(as_of - closed.closed_to, timedelta(0))
        if still_open > MAX_OPEN:
            return None
        return closed.kwh + usage_kw * (still_open / HOUR)
