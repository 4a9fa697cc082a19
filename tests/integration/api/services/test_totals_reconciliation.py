"""The live figures are those of the rows: by type of load, and of the whole network."""

import logging
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from api.http.pools import open_pools
from api.queries.stored_totals import fetch_totals
from api.services.totals_reconciliation import PERSISTENT_CHECKS, TotalsReconciliation
from gateway.stack.polling import wait_until
from runtime.database import Connection
from schemas.parsing.status import VenStatus
from schemas.records.network import LoadTypeTotals, NetworkTotals, Totals
from schemas.records.telemetry import (
    Load,
    LoadSnapshot,
    Reading,
    astuple,
    decode_reading,
    encode_measurement,
    encode_record,
)
from schemas.records.topics import STATS
from schemas.settings.blocks import ApiSettings, DatabaseSettings, KafkaSettings
from streams.live.aggregation import PartitionTotals
from tests.support.kafka_records import writer
from tests.support.readings import stores
from tests.support.rest import api

MINUTE = timedelta(minutes=1)


def some(choose: random.Random, now: datetime) -> Iterable[Any]:
    """What thirty VENs sent within the last two minutes: late, silent, gone, with loads of all sorts and with none."""
    for _ in range(400):
        ven_id = f"ven-{choose.randrange(30)}"
        received = now - timedelta(seconds=choose.choice([1, 20, 50, 70, 110]))
        # The rows take older samples too, the live totals do not.
        measured = received - timedelta(seconds=choose.randrange(60))
        loads = tuple(
            Load(
                f"load-{number}",
                type=choose.choice([None, "hvac", "ev", "", "pv"]),
                capacity_kw=choose.choice([None, 7.5]),
                current_power_kw=choose.choice([None, -2.0, 3.25]),
                shed_capability_kw=choose.choice([None, 0.0, 1.5]),
                enabled=choose.random() < 0.5,
            )
            for number in range(choose.randrange(4))
        )
        common: dict[str, Any] = {"ven_id": ven_id, "timestamp": measured, "received_at": received}
        kind = choose.random()
        if kind < 0.6:
            yield Reading(
                **common,
                used_power_kw=choose.choice([None, 0.5, -3.0]),
                shed_power_kw=choose.choice([None, 0.25]),
                loads=choose.choice([None, loads]),
            )
        elif kind < 0.95:
            yield LoadSnapshot(**common, loads=loads)
        else:
            yield VenStatus(ven_id=ven_id, received_at=received, status="offline")


async def stored(settings: DatabaseSettings, records: list[Any]) -> None:
    async with stores(settings) as store:
        for one in records:
            if isinstance(one, Reading):
                await store.readings.store([one])
            elif isinstance(one, LoadSnapshot):
                await store.snapshots.store([one])
            else:
                await store.statuses.store([one])


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_live_totals_are_those_of_the_rows(database: DatabaseSettings, rows: Connection, seed: int) -> None:
    now = datetime.now(UTC)
    # Of two of the same VEN and time the first that comes is stored, so there is only one.
    records = {(type(one), one.ven_id, getattr(one, "timestamp", None)): one for one in some(random.Random(seed), now)}
    await stored(database, list(records.values()))
    await rows.execute("UPDATE vens SET status = 'disabled' WHERE ven_id IN ('ven-3', 'ven-4')")
    disabled = {"ven-3", "ven-4"}

    live = PartitionTotals(timedelta(minutes=1))
    for one in records.values():
        if isinstance(one, Reading):
            live.update(one)
        elif isinstance(one, LoadSnapshot):
            live.update_loads(one)
        else:
            live.apply_last_will(one.ven_id, one.received_at)
    totals = live.totals(now - MINUTE, disabled)
    assert totals.online_vens > 5

    async with open_pools(database, ApiSettings()) as (pool, *_):
        found = await fetch_totals(pool, now, now - MINUTE)
    assert astuple(found.totals) == pytest.approx(astuple(totals))
    types = live.load_types(disabled)
    assert found.load_types.keys() == types.keys() > {"hvac", "other"}
    for name, of in types.items():
        assert msgspec.structs.astuple(found.load_types[name]) == pytest.approx(msgspec.structs.astuple(of)), name


async def test_conflicting_readings_leave_no_difference(
    database: DatabaseSettings, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC)
    loads = (Load("a", type="hvac", capacity_kw=7.0, current_power_kw=2.0, shed_capability_kw=1.5),)
    conflicts: list[dict[str, Any]] = [{"used_power_kw": 5.0}, {"used_power_kw": 50.0, "loads": loads}]
    records = [
        decode_reading(encode_measurement(Reading(ven_id, now, now, **fields), 0))
        for ven_id in ("a", "b")
        for fields in (conflicts if ven_id == "a" else reversed(conflicts))
    ]
    await stored(database, records)
    live = PartitionTotals(timedelta(minutes=1))
    for one in records:
        live.update(one)
    totals = NetworkTotals(now, live.totals(now - MINUTE), live.load_types())
    assert totals.totals.household_usage_kw == 55.0
    async with open_pools(database, ApiSettings()) as (pool, *_):
        agreement = TotalsReconciliation(pool, lambda: totals, 60)
        for _ in range(PERSISTENT_CHECKS + 2):
            await agreement.check()
        assert set(agreement.difference.values()) == {0.0}
    assert not [record for record in caplog.records if record.name == "api.services.totals_reconciliation"]


async def test_a_difference_is_shown_and_logged_when_it_lasts(
    database: DatabaseSettings, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(UTC)
    loads = (Load("a", type="hvac", capacity_kw=7.0, current_power_kw=2.0, shed_capability_kw=1.5),)
    await stored(
        database,
        [Reading(ven_id=f"v{n}", timestamp=now, received_at=now, used_power_kw=5.0, loads=loads) for n in range(2)],
    )
    types = {"hvac": LoadTypeTotals(14.0, 3.0, 4.0)}

    def said() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "api.services.totals_reconciliation"]

    live = NetworkTotals(now, Totals(2, 10.0, 0.0, 4.0, 3.0), types)
    async with open_pools(database, ApiSettings()) as (pool, *_):
        agreement = TotalsReconciliation(pool, lambda: live, 60)
        await agreement.check()
        assert set(agreement.difference.values()) == set(agreement.ratio.values()) == {0.0}
        live = NetworkTotals(now, Totals(1, 8.0, 0.0, 4.0, 3.0), types)
        with caplog.at_level(logging.INFO, "api.services.totals_reconciliation"):
            for _ in range(PERSISTENT_CHECKS + 2):
                await agreement.check()
            (warning,) = said()
            assert "householdUsageKw" in warning
            assert "controllable" not in warning
            assert agreement.difference["householdUsageKw",] == -2.0
            assert agreement.ratio["onlineVens",] == -0.5
            live = NetworkTotals(now, Totals(2, 10.0, 0.0, 4.0, 3.0), types)
            await agreement.check()
            assert len(said()) == 2


async def test_load_types_come_from_the_log_and_the_difference_is_a_metric(
    database: DatabaseSettings, kafka: KafkaSettings
) -> None:
    now = datetime.now(UTC)
    types = {"hvac": LoadTypeTotals(14.0, 3.0, 4.0), "ev": LoadTypeTotals(1.0)}
    async with writer(kafka) as log, api(database, kafka) as client:
        assert (await client.get("/api/stats/loads")).status_code == 503
        totals = NetworkTotals(now, Totals(2, 10.0, 0.0, 4.0, 3.0), types)
        await log.one(kafka.topics(STATS), encode_record(totals), key=b"network")

        async def there() -> bool:
            return (await client.get("/api/stats/loads")).is_success

        assert await wait_until(there, 60)
        assert (await client.get("/api/stats/loads")).json() == [
            {"type": "ev", "totalCapacityKw": 1.0, "totalShedCapabilityKw": 0.0, "currentUsageKw": 0.0},
            {"type": "hvac", "totalCapacityKw": 14.0, "totalShedCapabilityKw": 3.0, "currentUsageKw": 4.0},
        ]

        async def compared() -> bool:
            return 'gateway_live_difference{figure="onlineVens"} 2.0' in (await client.get("/metrics")).text

        assert await wait_until(compared, 60)
