"""A fleet publishes unique samples, and its ledgers agree with its payloads."""

import asyncio
import json
import time
from datetime import UTC, datetime

import pytest

from gateway.fleet import Fleet, Sample, publishing
from gateway.stack.polling import wait_until
from tests.unit.gateway.fleet.fake_broker import FakeBroker, fast_options


@pytest.mark.parametrize("interval", [5.0, 1.5, 0.05])
async def test_each_ven_and_time_is_unique(broker: FakeBroker, interval: float) -> None:
    fleet = Fleet(fast_options(broker, interval=interval))
    await fleet.run(stop=asyncio.Event(), messages=300)
    metering = broker.documents("volttron/metering")
    assert len(metering) == fleet.published == fleet.accepted == len(fleet.ledger) == 300
    assert len({(payload["venId"], payload["timestamp"]) for payload in metering}) == 300
    assert sum(len(samples) for samples in fleet.ledger.accepted_samples().values()) == 300


async def test_payload_agrees_with_ledger(broker: FakeBroker) -> None:
    fleet = Fleet(fast_options(broker, vens=40))
    before = datetime.now(UTC).timestamp()
    await fleet.run(stop=asyncio.Event(), messages=120)
    ledger = fleet.ledger.accepted_samples()
    for payload in broker.documents("volttron/metering"):
        sample = ledger[payload["venId"]][payload["timestamp"] * 1000]
        assert sample == Sample(payload["usedPowerKw"], len(payload["loads"]))
        assert payload["usedPowerKw"] == pytest.approx(sum(load["currentPowerKw"] for load in payload["loads"]))
        assert (payload["power_kw"], payload["ts"]) == (payload["usedPowerKw"], payload["timestamp"])
        assert (payload["shedPowerKw"], payload["eventId"], payload["active_event"]) == (0, None, None)
        assert payload["panelMaxKw"] * 1000 == payload["panelAmperageRating"] * payload["panelVoltage"]
        assert all(0 <= load["shedCapabilityKw"] <= max(0, load["currentPowerKw"]) for load in payload["loads"])
        assert 1400 < len(json.dumps(payload, separators=(",", ":"))) < 1700
        assert before - 3600 < payload["timestamp"] <= before + 1
    third = [payload for payload in broker.documents("volttron/metering") if payload["venId"] == "ven-sim-00003"]
    assert [payload["message_num"] for payload in third] == [1, 2, 3]
    assert any("batterySoc" in payload for payload in broker.documents("volttron/metering"))


async def test_samples_of_an_endless_load_test_are_measured_when_they_are_sent(broker: FakeBroker) -> None:
    fleet, before_ms = Fleet(fast_options(broker)), int(time.time() * 1000)
    async with publishing(fleet):
        assert await wait_until(lambda: fleet.accepted > 100, 10)
    for samples in fleet.ledger.accepted_samples().values():
        assert before_ms <= min(samples) <= max(samples) <= time.time() * 1000 + 100
    assert sum(map(len, fleet.ledger.accepted_samples().values())) == fleet.accepted


async def test_snapshots_use_each_vens_topic(broker: FakeBroker) -> None:
    fleet = Fleet(fast_options(broker))
    await fleet.run(stop=asyncio.Event(), messages=70)
    snapshots = [(topic, json.loads(payload)) for topic, payload in broker.published if topic.startswith("ven/loads/")]
    assert len(snapshots) == len(fleet.snapshots) == fleet.snapshots.published > 7
    assert all(topic == f"ven/loads/{snapshot['venId']}" for topic, snapshot in snapshots)
    kept = fleet.snapshots.accepted_samples()
    for _, snapshot in snapshots:
        used_kw = sum(load["currentPowerKw"] for load in snapshot["loads"])
        assert kept[snapshot["venId"]][snapshot["timestamp"] * 1000].used_kw == pytest.approx(used_kw)


async def test_no_snapshots_without_a_topic(broker: FakeBroker) -> None:
    for changes in ({"loads_topic": None}, {"loads_enabled": False}):
        fleet = Fleet(fast_options(broker, **changes))
        await fleet.run(stop=asyncio.Event(), messages=20)
        assert fleet.snapshots.published == 0


async def test_fleet_follows_the_clock_and_stops(broker: FakeBroker) -> None:
    fleet, stop = Fleet(fast_options(broker, vens=200, rate=None, interval=10.0, loads_enabled=False)), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.run(stop=stop))
        begun = asyncio.get_running_loop().time()
        await broker.received(15)
        assert asyncio.get_running_loop().time() - begun > 0.6  # 15 of 200 turns of ten seconds
        stop.set()
    assert fleet.published == fleet.accepted == len(broker.published) < 200


async def test_accepted_means_puback_received(broker: FakeBroker) -> None:
    broker.acknowledging = False
    fleet = Fleet(fast_options(broker, loads_enabled=False))
    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.run(stop=asyncio.Event(), messages=10))
        await broker.received(10)
        assert (fleet.published, fleet.accepted) == (10, 0)
        assert fleet.ledger.accepted_samples() == {}
        assert sum(map(len, fleet.ledger.published_samples().values())) == 10
        broker.acknowledge()
    assert fleet.accepted == 10
    assert fleet.ledger.accepted_samples() == fleet.ledger.published_samples()
