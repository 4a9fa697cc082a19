"""What the queries of VENs and events cost on filled tables: by an index, and in proportion to what is asked for."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from api.queries import acks, command_history, commands, event_progress, event_reduction, events, ven_erasure, vens
from runtime.database import Connection
from streams.dr import settlement_store
from tests.support.servers import Databases, connection

# At any time of the day: around midnight the rows would be of two days, and their partitions small.
NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
SPAN = (NOW - timedelta(hours=2), NOW + timedelta(hours=2))
# Those that grow: an empty day is read as quickly in either way, and the planner says so.
HOT = re.compile(
    r"Seq Scan on (telemetry|load_snap|ven_acks|ven_status|commands|events|event_vens)\w* .*cost=\S*\.\.(\d+)"
)
CHEAP = 10

FILL = (
    "INSERT INTO vens (ven_id, name) SELECT 'ven-' || n, 'Home ' || n FROM generate_series(1, 4000) AS n",
    # Of 4000 VENs one in a hundred reports the event of interest.
    """INSERT INTO ven_status (ven_id, received_at, event_id, shed_power_kw, loads)
        SELECT 'ven-' || n, now(), CASE WHEN n % 100 = 0 THEN 'evt-1' END, 1, '[]'
        FROM generate_series(1, 4000) AS n""",
    """INSERT INTO telemetry_readings (ven_id, time, received_at, shed_power_kw, event_id)
        SELECT 'ven-' || n, $1::timestamptz - k * interval '1 minute', $1, 1, CASE WHEN n % 100 = 0 THEN 'evt-1' END
        FROM generate_series(1, 4000) AS n, generate_series(1, 25) AS k""",
    """INSERT INTO telemetry_loads (ven_id, time, load_id, enabled)
        SELECT 'ven-' || n, $1::timestamptz - k * interval '1 minute', 'hvac', true
        FROM generate_series(1, 4000) AS n, generate_series(1, 10) AS k""",
    """INSERT INTO commands (correlation_id, ven_id, op, event_id, payload)
        SELECT n || '-' || k, 'ven-' || n, 'event', 'evt-' || k, '{}'
        FROM generate_series(1, 4000) AS n, generate_series(1, 20) AS k WHERE k > 1 OR n % 100 = 0""",
    """INSERT INTO ven_acks (ven_id, time, op, correlation_id, received_at, status, event_id, circuits)
        SELECT 'ven-' || n, $1::timestamptz + k * interval '1 second', 'event', n || '-' || k, $1, 'accepted',
               'evt-' || k, '[]'
        FROM generate_series(1, 4000) AS n, generate_series(1, 20) AS k WHERE k > 1 OR n % 100 = 0""",
    """INSERT INTO event_vens (event_id, ven_id, reason)
       SELECT 'evt-' || k, 'ven-' || n, 'equal'
       FROM generate_series(1, 4000) AS n, generate_series(1, 20) AS k WHERE k > 1 OR n % 100 = 0""",
    """INSERT INTO events (event_id, start_time, end_time, requested_reduction_kw, created_at, closed_at, settled_at)
       SELECT 'evt-' || n, now() - n * interval '1 hour', now() - (n - 1) * interval '1 hour', 1,
              now() - n * interval '1 hour', now() - (n - 1) * interval '1 hour',
              CASE WHEN n > 1 THEN now() END
       FROM generate_series(1, 20000) AS n""",
    "ANALYZE",
)

QUERIES: list[tuple[str, str, tuple[Any, ...]]] = [
    ("one VEN", vens.ONE_VEN, (60.0, "ven-7")),
    ("a page of VENs", vens.PAGE_OF_VENS, (60.0, "ven-2", None, None, 50)),
    ("a load", commands.HAS_LOAD, ("ven-7", "hvac")),
    ("is shedding", commands.IS_SHEDDING, ("ven-7", "evt-7")),
    ("busy with", commands.BUSY_WITH, ("ven-7",)),
    ("what ends shedding", commands.END_SHEDDING, ("ven-7",)),
    *((f"erasing later {n}", each, ("ven-7", NOW)) for n, each in enumerate(ven_erasure.RETAINING.values())),
    ("response times", acks.RESPONSE_TIMES, ([f"ven-{n}" for n in range(50)],)),
    ("acks of a VEN", acks.OF_VEN, ("ven-7", None, None, True, 100)),
    ("acks of an event", acks.LIST_OF_EVENT, ("evt-1", *SPAN, 100)),
    ("circuits of an event", acks.CIRCUITS_OF_EVENT, ("evt-1", *SPAN, 100)),
    ("reductions now", event_reduction.REDUCTIONS_NOW, (["evt-1", "evt-2"], 1200.0)),
    ("whether energies are stored", event_reduction.HAS_ENERGIES, ("evt-1",)),
    ("VENs that reported", event_reduction.REPORTING_VENS, ("evt-1", *SPAN)),
    ("delivered", event_reduction.DELIVERED, ("evt-1", ["ven-100", "ven-200"], *SPAN, 60.0)),
    ("VENs to settle", settlement_store.VENS, ("evt-1", *SPAN)),
    ("settling VENs", settlement_store.STORE, ("evt-1", ["ven-100", "ven-200"], *SPAN, 60.0)),
    ("events to settle", settlement_store.UNSETTLED, ()),
    ("an event settled", settlement_store.SETTLED, ("evt-1", NOW, None)),
    ("progress of an event", event_progress.PROGRESS, (["evt-1"], [], [], [], 1200.0)),
    ("VENs of an event", event_progress.VENS, (["evt-1"], [], [], [], 1200.0)),
    ("one command", command_history.ONE, ("7-7",)),
    ("acks of a command", command_history.ACKS, ("7-7", 100)),
    ("commands of a VEN", command_history.OF_VEN, ("ven-7", "7-7", 100)),
    ("one event", events.ONE, ("evt-7",)),
    ("a page of events", events.PAGE, (None, "evt-500", 50)),
    (
        "the end of a history",
        ven_erasure.HISTORY["telemetry_loads"].delete_piece,
        ("ven-7", NOW - timedelta(hours=1), NOW),
    ),
    ("the begin of a history", ven_erasure.HISTORY["telemetry_loads"].oldest, ("ven-7", NOW)),
]


@pytest_asyncio.fixture(scope="module")
async def filled(databases: Databases) -> AsyncIterator[Connection]:
    async with connection(await databases.migrated()) as opened:
        for statement in FILL:
            await opened.execute(statement, *((NOW,) if "$1" in statement else ()))
        yield opened


@pytest.mark.parametrize(("query", "values"), [each[1:] for each in QUERIES], ids=[each[0] for each in QUERIES])
async def test_no_table_is_read_from_end_to_end(filled: Connection, query: str, values: tuple[Any, ...]) -> None:
    for mode in ("force_custom_plan", "force_generic_plan"):
        await filled.execute(f"SET plan_cache_mode = {mode}")
        async with filled.transaction():
            plan = [row[0] for row in await filled.fetch("EXPLAIN (ANALYZE) " + query, *values)]
        words = "\n".join(plan)
        assert not [table for table, cost in HOT.findall(words) if int(cost) > CHEAP], words
