"""Every SQL query of the dashboards runs as Grafana would send it, and finds what is there."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from numbers import Real

import pytest

from runtime.database import Connection
from schemas.records.network import LoadTypeTotals, NetworkTotals, Totals
from schemas.records.telemetry import encode_record
from schemas.settings.blocks import DatabaseSettings
from schemas.tables.buckets import WIDTHS, floor_to
from streams.sink.live_totals_history import LiveTotalsHistory
from tests.contract.filled import fill
from tests.integration.streams.sink.test_live_totals_history import Record
from tests.support.command_rows import tell
from tests.support.grafana import FOLDER, as_sent, queries
from tests.support.pipeline import WINDOW
from tests.support.readings import stores

VARIABLES = {"offline_after": "60"}


async def shown(settings: DatabaseSettings, rows: Connection) -> None:
    """Have something of everything that the dashboards show."""
    await fill(settings)
    now = datetime.now(UTC)
    totals = NetworkTotals(
        now - timedelta(seconds=2), Totals(3, 24.6, 14.4, 6.3, 5.0), {"hvac": LoadTypeTotals(7.0, 1.5, 2.0)}
    )
    async with stores(settings) as store:
        await LiveTotalsHistory(store.database, store.partitions, WINDOW).store([Record(encode_record(totals))])
    await tell(
        rows,
        "evt-past",
        "ven-003",
        phase="restore",
        decided_at=now - timedelta(minutes=1),
        ends_at=now,
        correlation_id="restore-1",
        payload={},
    )
    await rows.execute("INSERT INTO energy_days (day, used_kwh) VALUES ($1, 12.5)", now.date())
    for granularity, width in WIDTHS.items():
        await rows.execute(
            "INSERT INTO network_buckets (granularity, time, used_power_kw, shed_power_kw, vens) "
            "VALUES ($1, $2, 24.6, 14.4, 3)",
            granularity,
            floor_to(now, width),
        )


@pytest.mark.parametrize("span", [timedelta(hours=5), timedelta(days=2), timedelta(days=30)], ids=str)
async def test_every_query_shows_what_is_there(database: DatabaseSettings, rows: Connection, span: timedelta) -> None:
    await shown(database, rows)
    end = datetime.now(UTC) + timedelta(minutes=1)
    for panel, sql, form in queries("rawSql"):
        found = await rows.fetch(as_sent(sql, end - span, end, VARIABLES))
        assert found, panel.name
        if form == "time_series":
            assert isinstance(found[0]["time"], datetime | Decimal | float), panel.name
            assert all(isinstance(v, Real | Decimal | str) for k, v in found[0].items() if k != "time"), panel.name


async def test_the_documented_login_may_read_all_that_is_asked_for(rows: Connection) -> None:
    (setup,) = re.findall(r"```sql\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    end = datetime.now(UTC)
    transaction = rows.transaction()
    await transaction.start()
    await rows.execute(setup)
    await rows.execute("SET LOCAL ROLE grafana")
    for _, sql, _ in queries("rawSql"):
        await rows.fetch(as_sent(sql, end - timedelta(hours=6), end, VARIABLES))
    # The role belongs to the whole server, which other tests share.
    await transaction.rollback()


async def test_figures_are_those_of_the_rows(database: DatabaseSettings, rows: Connection) -> None:
    await shown(database, rows)
    end = datetime.now(UTC) + timedelta(minutes=1)
    first = {
        panel.body["title"]: (await rows.fetch(as_sent(sql, end - timedelta(hours=6), end, VARIABLES)))[0]
        for panel, sql, _ in queries("rawSql")
    }
    assert dict(first["VENs"]) == {"online": 3, "offline": 0, "disabled": 0}
    assert first["Household usage"]["usage"] == 24.6
    assert first["Shed available"]["available"] == 5.0
    assert 0 <= first["Age of the totals"]["age"] < 60
    funnel = first["Command funnel"]
    assert (funnel["decided"], funnel["sent"], funnel["reported"], funnel["refused"]) == (1, 1, 1, 0)
    assert first["Restores"]["decided"] == 1
    assert dict(first["Top load types now"]) == {"type": "hvac", "usage": 2.0, "shed available": 1.5, "capacity": 7.0}
    assert first["Power by the readings"]["used"] == 24.6
    assert first["Energy by day"]["used"] == 12.5
