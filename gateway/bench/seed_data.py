"""Fills a database with the history of a fleet, generated in SQL and the same on every machine."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from gateway.stack.polling import wait_until
from runtime.database import Connection, connect_options
from schemas.base.errors import GatewayError
from schemas.settings.blocks import DatabaseSettings
from schemas.tables.buckets import MINUTE, floor_to

SPAN = timedelta(hours=24)
READINGS_PER_CHUNK = 200_000
SECONDS_TO_ROLL_UP = 3600

# Hashes instead of random(), so that the figures do not depend on order or machine.
NOISE = "(abs(hashint8extended({key}, {seed})) % 10000) / 1000.0"
VEN_ID = "format('ven-%s', lpad(n::text, 6, '0'))"

VENS = f"""
INSERT INTO vens (ven_id, name, latitude, longitude, created_at)
SELECT {VEN_ID}, format('Home %s', n), 37 + n % 100 / 100.0, -122 - n % 100 / 100.0, $3
FROM generate_series($1::int, $2::int - 1) AS n
"""  # noqa: S608 - made of constants

STATUS = f"""
INSERT INTO ven_status (ven_id, received_at, reading_received_at, measured_at, sampled_at, used_power_at,
                        used_power_kw, shed_power_at, shed_power_kw, loads_measured_at, loads, clock_skew_seconds)
SELECT {VEN_ID}, $3, $3, $3, $3, $3, {NOISE.format(key="n", seed=1)}, $3, 0, $3, loads, 0
FROM generate_series($1::int, $2::int - 1) AS n
CROSS JOIN (
    SELECT json_agg(json_build_object('id', format('load%s', i), 'name', format('Load %s', i), 'type',
        (ARRAY['hvac', 'heater', 'ev', 'dryer', 'range', 'lights', 'outlets', 'fridge'])[i], 'capacityKw', 7.2,
        'currentPowerKw', i / 4.0, 'shedCapabilityKw', i / 4.0, 'priority', 5)) AS loads
    FROM generate_series(1, 8) AS i
) AS listed
"""  # noqa: S608 - made of constants

# In order of time, all VENs at each step, as samples arrive.
READINGS = f"""
INSERT INTO telemetry_readings (ven_id, time, received_at, used_power_kw, shed_power_kw, message_num)
SELECT {VEN_ID}, $5::timestamptz + step * $6::interval, $5::timestamptz + step * $6::interval,
       {NOISE.format(key="n * 100000::bigint + step", seed=2)}, 0, step
FROM generate_series($3::int, $4::int - 1) AS step CROSS JOIN generate_series($1::int, $2::int - 1) AS n
"""  # noqa: S608 - made of constants
LOADS = f"""
INSERT INTO telemetry_loads
    (ven_id, time, load_id, capacity_kw, current_power_kw, shed_capability_kw, priority, enabled, name, type)
SELECT {VEN_ID}, $5::timestamptz + step * $6::interval, format('load%s', i), 7.2,
       {NOISE.format(key="n * 100000::bigint + step + i", seed=3)}, 1, 5, true, format('Load %s', i), 'hvac'
FROM generate_series($3::int, $4::int - 1) AS step CROSS JOIN generate_series($1::int, $2::int - 1) AS n
    CROSS JOIN generate_series(1, $7::int) AS i
"""  # noqa: S608 - made of constants
ROLL_UP_FROM = "UPDATE rollup_progress SET late_before = $1, rolled_up_to = $1"
ROLLED_UP = "SELECT rolled_up_to > now() - interval '2 minutes' FROM rollup_progress"


@dataclass(frozen=True, slots=True)
class FleetHistory:
    """The last 24 hours of the VENs `first` to `last` (exclusive): `steps` samples each, with `loads` loads."""

    first: int
    last: int
    steps: int
    loads: int


async def seed_history(settings: DatabaseSettings, history: FleetHistory, progress: Callable[[str], None]) -> None:
    """Write the history of a fleet, and wait until the running sink has rolled it up.

    Raises:
        GatewayError: the rollup took too long.
    """
    now = datetime.now(UTC)
    start = floor_to(now - SPAN, MINUTE)
    connection = await asyncpg.connect(**{**connect_options(settings, "gateway-bench"), "command_timeout": 3600})
    try:
        await connection.execute("SET statement_timeout = 0")
        await _write(connection, history, start, now, progress)
        progress("rolling up …")
        await connection.execute(ROLL_UP_FROM, start)
        if not await wait_until(lambda: connection.fetchval(ROLLED_UP), SECONDS_TO_ROLL_UP, every=1):
            raise GatewayError(f"the readings were not rolled up within {SECONDS_TO_ROLL_UP} s")
        await connection.execute("VACUUM (ANALYZE) telemetry_minutes, telemetry_hours")
        # Otherwise the checkpoint would run while requests are timed.
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _write(
    connection: Connection, history: FleetHistory, start: datetime, now: datetime, progress: Callable[[str], None]
) -> None:
    fleet = (history.first, history.last)
    await connection.execute(VENS, *fleet, start)
    await connection.execute(STATUS, *fleet, now)
    chunk = max(1, READINGS_PER_CHUNK // (history.last - history.first))
    for step in range(0, history.steps, chunk):
        end = min(step + chunk, history.steps)
        arguments = (*fleet, step, end, start, SPAN / history.steps)
        await connection.execute(READINGS, *arguments)
        if history.loads:
            await connection.execute(LOADS, *arguments, history.loads)
        progress(f"{(history.last - history.first) * end:,} readings written")
    # In real operation, autovacuum would have done this.
    await connection.execute("VACUUM (ANALYZE) telemetry_readings, telemetry_loads, ven_status, vens")
