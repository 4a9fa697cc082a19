"""The energy of this day as clients see it: it never falls, unless operators removed wrong readings.

The rolled-up minutes are exact. The open ones, of the last minute or so, are estimated from the live totals: between
two of them the lower one counts, so that the estimate is not above what the minutes come to.

Whatever late readings change, `shown_kwh` keeps its highest value of the day. So only what has stood for ten seconds is
shown: while a VEN uploads a backlog, the last sample that has arrived holds until the next one arrives. `shown_kwh`
counts from `shown_from` on, a moment in the future, so that all API processes have read it by then and change over at
the same time.
"""

from datetime import datetime, timedelta

from runtime.database import Connection
from schemas.tables.buckets import WIDTHS, floor_to

SHOWN_AFTER = timedelta(seconds=3)
"""More than the API takes between two reads of the row."""

STANDS_FOR = timedelta(seconds=10)
"""Longer than SHOWN_AFTER, so that a value counts before the next one is stored."""

ADD_DAY = "INSERT INTO energy_days (day) VALUES ($1) ON CONFLICT DO NOTHING"

# $1 day, $2 its beginning, $3 now, $4 SHOWN_AFTER, $5 STANDS_FOR. Two live totals more than 30 s apart do not tell the
# power between them. Within a minute after a removal they may still contain what was removed. A removal lowers the
# energy when all minutes that it changed are computed again.
SHOW = """
WITH today AS (
    SELECT e.*, GREATEST($2::timestamptz, p.rolled_up_to, e.corrected_at + interval '1 minute') AS open_from,
           e.corrected_at > e.lowered_at AND NOT EXISTS (
               SELECT FROM rollup_late AS late WHERE late.noted_at <= e.corrected_at AND late.time < p.rolled_up_to
           ) AS falls, e.candidate_since <= $3::timestamptz - $5::interval AS is_due
    FROM energy_days AS e CROSS JOIN rollup_progress AS p WHERE e.day = $1
), spans AS (
    SELECT LEAST(household_usage_kw, lead(household_usage_kw) OVER in_order) AS kw,
           date_part('epoch', lead(as_of) OVER in_order - GREATEST(as_of, (SELECT open_from FROM today))) AS seconds
    FROM network_stats
    WHERE time >= (SELECT open_from FROM today) - interval '10 seconds' AND as_of <= $3
    WINDOW in_order AS (ORDER BY time)
), computed AS (
    SELECT today.*, used_kwh + COALESCE((SELECT sum(kw * seconds) / 3600 FROM spans WHERE seconds BETWEEN 0 AND 30), 0)
               AS kwh
    FROM today
)
UPDATE energy_days AS e SET
    shown_kwh = CASE WHEN c.falls THEN c.kwh ELSE GREATEST(c.shown_kwh, LEAST(c.candidate_kwh, c.kwh)) END,
    previous_kwh = CASE WHEN c.falls THEN c.kwh ELSE c.shown_kwh END,
    shown_from = $3 + $4,
    candidate_kwh = c.kwh,
    candidate_since = $3,
    lowered_at = CASE WHEN c.falls THEN c.corrected_at ELSE c.lowered_at END
FROM computed AS c
WHERE e.day = c.day AND (c.falls OR c.is_due)
"""


async def show_energy(connection: Connection, now: datetime) -> None:
    """Store what clients see as the energy of this day, every ten seconds."""
    midnight = floor_to(now, WIDTHS["1d"])
    await connection.execute(ADD_DAY, midnight.date())
    await connection.execute(SHOW, midnight.date(), midnight, now, SHOWN_AFTER, STANDS_FOR)
