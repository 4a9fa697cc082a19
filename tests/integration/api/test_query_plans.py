"""No query of the API reads a large table from end to end, nor days that it was not asked for."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from api.http.time_range import TimeBounds
from api.queries import (
    acks,
    command_history,
    dead_letter_replays,
    dead_letters,
    event_progress,
    event_reduction,
    events,
    faults,
    load_history,
    network_history,
    telemetry,
    ven_erasure,
    ven_history,
    vens,
)
from api.queries.commands import is_shedding
from api.queries.dead_letters import DeadLetterFilter, DeadLetterKey
from runtime.database import Connection, Pool, connect_options
from schemas.records.dead_letters import DeadLetterState
from schemas.tables.buckets import GRANULARITIES, Granularity
from schemas.tables.partitioning import PARTITIONED, create_partition, day_of, partition_name
from tests.support.plans import Explaining, scans
from tests.support.servers import Databases, connection

DAYS = 3
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
FIRST = TODAY - timedelta(days=DAYS)
"""The rows are of the days before today: complete ones."""
NOON = TODAY - timedelta(days=2) + timedelta(hours=12)

# In the order of time, as they arrive, from $1 to $2: so many VENs, each so often.
EACH = """
    FROM (SELECT time, n
          FROM generate_series($1::timestamptz, $2::timestamptz - interval '1 second', '{every}') AS time,
               generate_series(1, {vens}) AS n
          ORDER BY time) AS arriving
"""
NAME = "format('ven-%s', n)"
EVENT = "CASE WHEN n % 20 = 0 AND extract(hour FROM time) = 12 THEN 'evt-' || extract(day FROM time) END"
LISTED = """
    INSERT INTO {table} (ven_id, time, load_id, current_power_kw, enabled)
    SELECT {name}, time, load, n, true {each}, unnest('{{a,b}}'::text[]) AS load
"""
ROLLED_UP = """
    INSERT INTO {table} (ven_id, time, samples, used_samples, used_sum, shed_samples, shed_sum)
    SELECT {name}, time, 1, 1, n, 1, 1 {each}
"""
OFTEN = EACH.format(every="2 minutes", vens=200)
SOMETIMES = EACH.format(every="12 minutes", vens=200)
HOURLY = EACH.format(every="1 hour", vens=2000)
FILL = (
    f"INSERT INTO vens (ven_id, name) SELECT {NAME}, 'Home' FROM generate_series(1, 20000) AS n",
    f"""INSERT INTO ven_status (ven_id, received_at, reading_received_at, event_id, loads)
        SELECT {NAME}, now(), now(), CASE WHEN n % 100 = 0 THEN 'evt-now' END, '[]'
        FROM generate_series(1, 20000) AS n""",
    f"""INSERT INTO telemetry_readings (ven_id, time, received_at, used_power_kw, shed_power_kw, event_id)
        SELECT {NAME}, time, time, n, 1, {EVENT} {OFTEN}""",
    LISTED.format(table="telemetry_loads", name=NAME, each=SOMETIMES),
    LISTED.format(table="load_snapshots", name=NAME, each=SOMETIMES),
    ROLLED_UP.format(table="telemetry_minutes", name=NAME, each=OFTEN),
    ROLLED_UP.format(table="telemetry_hours", name=NAME, each=HOURLY),
    f"""INSERT INTO commands (correlation_id, ven_id, op, event_id, payload, created_at)
        SELECT n || ' ' || time, {NAME}, 'event', {EVENT}, '{{}}', time {HOURLY}""",
    f"""INSERT INTO ven_acks (ven_id, time, op, correlation_id, received_at, status, event_id, circuits)
        SELECT {NAME}, time, 'event', n || ' ' || time, time, 'accepted', {EVENT},
               '[{{"id": "a", "name": "a", "curtailed_kw": 1}}]' {HOURLY}""",
    f"""INSERT INTO event_vens (event_id, ven_id, reason)
        SELECT DISTINCT {EVENT}, {NAME}, 'equal' {HOURLY} WHERE {EVENT} IS NOT NULL""",
    f"""INSERT INTO event_vens (event_id, ven_id, reason)
        SELECT 'evt-of-old-' || k, {NAME}, 'equal' FROM generate_series(1, 2000) AS n, generate_series(1, 20) AS k""",
    f"""INSERT INTO dead_letters (id, time, source_topic, mqtt_topic, ven_id, reason, detail, headers, payload)
        SELECT md5(n || ' ' || time), time, 'ven.raw.metering', 'volttron/metering', {NAME}, 'bad_time', 'x', '{{}}',
               'x' {SOMETIMES}""",
    f"INSERT INTO ven_faults (ven_id, time, digest, received_at, error) SELECT {NAME}, time, '', time, 'x' {SOMETIMES}",
)  # fmt: skip

HOT = {
    "ven_status", "telemetry_readings", "telemetry_loads", "load_snapshots", "telemetry_minutes", "telemetry_hours",
    "ven_acks", "ven_faults", "dead_letters", "commands", "event_vens",
}  # fmt: skip


@pytest_asyncio.fixture(scope="module")
async def pool(databases: Databases) -> AsyncIterator[Pool]:
    settings = await databases.migrated()
    async with connection(settings) as rows:
        await _fill(rows)
    options = connect_options(settings, "test")
    async with asyncpg.create_pool(**options, min_size=1, connection_class=Explaining) as opened:
        yield opened


async def _fill(rows: Connection) -> None:
    for table in PARTITIONED:
        for day in (day_of(FIRST + timedelta(days=n)) for n in range(DAYS)):
            if not await rows.fetchval("SELECT to_regclass($1)", partition_name(table, day)):
                for statement in create_partition(table, day):
                    await rows.execute(statement)
    for statement in FILL:
        await rows.execute(statement, *((FIRST, TODAY) if "$1" in statement else ()))
    await rows.execute("UPDATE rollup_progress SET late_before = $1, rolled_up_to = $1", TODAY - timedelta(minutes=7))
    await rows.execute("VACUUM ANALYZE")


SOON_AFTER = NOON + timedelta(seconds=7)
HOUR = (NOON, NOON + timedelta(hours=1))
DAY = (NOON - timedelta(hours=1), NOON + timedelta(hours=22))
EVER = (None, None)
EVENT_ID = f"evt-{NOON.day}"
Query = Callable[[Pool], Awaitable[Any]]


def _letters(letters: DeadLetterFilter, older_than: DeadLetterKey | None = None) -> Query:
    return lambda pool: dead_letters.fetch_dead_letters(pool, letters, older_than=older_than, limit=101)


async def _erase(pool: Pool) -> None:
    for table in ven_erasure.HISTORY:
        await ven_erasure.erase_piece(pool, table, "ven-199", TODAY)


# Not here, for they need all rows there are: the loads of all online VENs by type, VENs by a derived status or a part
# of their name, and the replay of everything.
QUERIES: dict[str, Query] = {
    "telemetry": lambda pool: telemetry.fetch_telemetry(pool, "ven-7", *HOUR, 1000),
    "telemetry to the end": lambda pool: telemetry.fetch_telemetry(pool, "ven-7", NOON, None, 1000),
    "loads as listed": lambda pool: load_history.fetch_listed_loads(pool, "ven-7", None, *HOUR, 1000),
    "one load as listed": lambda pool: load_history.fetch_listed_loads(pool, "ven-7", "a", *DAY, 1000),
    "acks of a VEN": lambda pool: acks.fetch_acks_of_ven(pool, "ven-8", HOUR, 1000, of_events=False),
    "all acks of a VEN": lambda pool: acks.fetch_acks_of_ven(pool, "ven-8", EVER, 1000, of_events=False),
    "events of a VEN": lambda pool: acks.fetch_acks_of_ven(pool, "ven-8", EVER, 1000, of_events=True),
    "acks of an event": lambda pool: acks.fetch_acks_of_event(pool, EVENT_ID, DAY, 5000),
    "circuits of an event": lambda pool: acks.fetch_circuits_of_event(pool, EVENT_ID, DAY, 5000),
    "response times": lambda pool: acks.fetch_response_times(pool, ["ven-7", "ven-8", "ven-9"]),
    "who reported": lambda pool: event_reduction.reporting_vens(pool, EVENT_ID, *HOUR),
    "delivered": lambda pool: event_reduction.delivered(pool, EVENT_ID, ["ven-4", "ven-8"], HOUR, 60),
    "reductions now": lambda pool: event_reduction.reductions_now(pool, ["evt-now", "evt-1"], 1200),
    "VENs of an event": lambda pool: event_progress.fetch_event_progress(pool, EVENT_ID, {}, 1200),
    "progress of events": lambda pool: event_progress.fetch_progress(pool, ["evt-now", EVENT_ID], 1200),
    "a command": lambda pool: command_history.fetch_command(pool, f"8 {NOON:%Y-%m-%d %H:%M:%S+00}"),
    "acks of a command": lambda pool: command_history.fetch_acks_of_command(
        pool, f"8 {NOON:%Y-%m-%d %H:%M:%S+00}", 100
    ),
    "commands of a VEN": lambda pool: command_history.fetch_commands_of_ven(pool, "ven-8", cursor="", limit=101),
    "next commands of a VEN": lambda pool: command_history.fetch_commands_of_ven(
        pool, "ven-8", cursor=f"8 {NOON:%Y-%m-%d %H:%M:%S+00}", limit=101
    ),
    "faults": lambda pool: faults.fetch_faults(pool, "ven-10", TimeBounds(*HOUR), 1000),
    "all faults": lambda pool: faults.fetch_faults(pool, "ven-10", TimeBounds(None, None), 1000),
    "first VENs": lambda pool: vens.fetch_vens(pool, 60, after="", limit=101),
    "next VENs": lambda pool: vens.fetch_vens(pool, 60, after="ven-15", limit=1001),
    "a VEN": lambda pool: vens.fetch_ven(pool, "ven-77", 60),
    "letters": _letters(DeadLetterFilter()),
    "next letters": _letters(DeadLetterFilter(), DeadLetterKey(NOON, "5")),
    "letters of a VEN": _letters(DeadLetterFilter(ven_id="ven-7"), DeadLetterKey(NOON, "5")),
    "letters of a reason": _letters(DeadLetterFilter(reason="bad_time", start=HOUR[0], end=HOUR[1])),
    "letters in a state": _letters(DeadLetterFilter(states=(DeadLetterState.OPEN,))),
    "letters of a topic": _letters(DeadLetterFilter(topic="volttron/metering", start=HOUR[0])),
    "a letter": lambda pool: dead_letters.fetch_dead_letter(pool, "5"),
    "keys of letters": lambda pool: dead_letters.find_keys(pool, ["5", "6"]),
    "states of letters": lambda pool: dead_letter_replays.fetch_states(pool, [DeadLetterKey(NOON, "5")]),
    "replay": lambda pool: dead_letter_replays.request_matching(
        pool, DeadLetterFilter(ven_id="ven-7", start=NOON, end=HOUR[1]), 10
    ),
    "an event": lambda pool: events.fetch_event(pool, EVENT_ID),
    "erasing": _erase,
}


def _histories(width: Granularity) -> dict[str, Query]:
    return {
        f"VEN by {width}": lambda pool: ven_history.fetch_ven_history(pool, "ven-7", *DAY, width),
        f"load by {width}": lambda pool: load_history.fetch_load_history(pool, "ven-7", "a", *DAY, width),
        f"network by {width}": lambda pool: network_history.fetch_network_history(pool, SOON_AFTER, TODAY, width),
    }


for granularity in GRANULARITIES:
    QUERIES.update(_histories(granularity))


# An open day is made of its hours so far: almost all of their partition is wanted.
WANTED_WHOLE = {"network by 1d": "telemetry_hours"}


@pytest.mark.parametrize("query", QUERIES)
async def test_no_query_reads_all_of_a_large_table(pool: Pool, query: str) -> None:
    Explaining.plans.clear()
    await QUERIES[query](pool)
    assert Explaining.plans
    found = [(scan, plan) for plan in Explaining.plans for scan in scans(plan)]
    for scan, plan in found:
        table, day = _split(scan.table)
        # A partition without rows may be read as it likes: those of the days to come.
        empty = day is not None and day >= f"{TODAY:%Y%m%d}"
        whole = empty or WANTED_WHOLE.get(query) == table
        assert scan.how != "Seq Scan" or table not in HOT or whole, (scan, plan)


async def test_a_command_looks_at_its_ven_only(pool: Pool) -> None:
    Explaining.plans.clear()
    async with pool.acquire() as opened:
        await is_shedding(opened, "ven-8", EVENT_ID)
    found = {scan.how for plan in Explaining.plans for scan in scans(plan) if scan.table == "commands"}
    assert found
    assert found <= {"Index Scan", "Bitmap Heap Scan"}


@pytest.mark.parametrize(
    "query",
    [
        "telemetry",
        "loads as listed",
        "acks of a VEN",
        "faults",
        "letters of a reason",
        "states of letters",
        "replay",
    ],
)
async def test_an_interval_within_a_day_looks_at_its_partition_only(pool: Pool, query: str) -> None:
    Explaining.plans.clear()
    await QUERIES[query](pool)
    days = {_split(scan.table)[1] for plan in Explaining.plans for scan in scans(plan)} - {None}
    assert days == {f"{NOON:%Y%m%d}"}


@pytest.mark.parametrize(("query", "before", "after"), [("who reported", 1, 1), ("delivered", 4, 1)])
async def test_event_figures_look_at_the_days_of_wrong_clocks_too(
    pool: Pool, query: str, before: int, after: int
) -> None:
    Explaining.plans.clear()
    await QUERIES[query](pool)
    days = {_split(scan.table)[1] for plan in Explaining.plans for scan in scans(plan)} - {None}
    assert days <= {f"{NOON + timedelta(days=offset):%Y%m%d}" for offset in range(-before, after + 1)}


def _split(table: str) -> tuple[str, str | None]:
    match = re.fullmatch(r"(.+)_(\d{8})", table)
    return (match[1], match[2]) if match else (table, None)
