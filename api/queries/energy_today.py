"""The energy of a day as clients see it."""

from datetime import date

import asyncpg

from runtime.database import Pool

ENERGY = "SELECT shown_kwh, shown_from, previous_kwh FROM energy_days WHERE day = $1"


async def fetch_energy(pool: Pool, day: date) -> asyncpg.Record | None:
    """Return the energy (kWh) of a day (UTC), from when on it counts, and what counts until then."""
    return await pool.fetchrow(ENERGY, day)
