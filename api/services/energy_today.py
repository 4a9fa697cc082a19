"""The energy that all VENs have used since midnight UTC, as the rollups store it."""

import asyncio
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import NamedTuple

from api.queries.energy_today import fetch_energy
from runtime.database import DATABASE_ERRORS, Pool

REFRESH_SECONDS = 1.0
"""Less than a change is stored in advance, so that all API processes show it at the same time."""


class _Energy(NamedTuple):
    day: date
    kwh: float = 0.0
    counts_from: datetime = datetime.min.replace(tzinfo=UTC)
    previous_kwh: float = 0.0


class EnergyToday:
    """Reads the energy every second; requests are answered from memory."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._energy: _Energy | None = None

    async def run(self) -> None:
        """Refresh for ever; while the database is down, the last result counts."""
        while True:
            with suppress(*DATABASE_ERRORS):
                await self.refresh(datetime.now(UTC))
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self, now: datetime) -> None:
        """Read the energy of this day."""
        row = await fetch_energy(self._pool, now.date())
        self._energy = _Energy(now.date(), *(row or ()))

    def kwh(self, now: datetime) -> float | None:
        """Return the energy (kWh) since midnight, or None if that of this day is not known yet."""
        energy = self._energy
        if energy is None or energy.day != now.date():
            return None
        return energy.kwh if now >= energy.counts_from else energy.previous_kwh
