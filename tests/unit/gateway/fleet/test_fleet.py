"""The simulated fleet: its homes, its schedule, its ledger, its recordings, and what it does without a PUBACK."""

import asyncio
import json
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.fleet import BrokerRefusedError, Fleet, FleetOptions, PublishLedger, Sample, replay
from gateway.fleet.home import Home
from gateway.fleet.malformed import malformed_payloads
from gateway.fleet.publisher import Publisher
from gateway.fleet.schedule import slots
from gateway.stack.ports import claim
from tests.support.paths import RECORDINGS

NOON = 1_795_550_400.0  # local noon at 120 degrees west, Unix seconds
HOUR = 3600.0


class Broker:
    """As much of an MQTT 3.1.1 broker as a publisher sees; it gives PUBACKs when the test says so."""

    def __init__(self, *, connack: int = 0) -> None:
        self.connack = connack
        self.acknowledging = True
        self.published: list[tuple[str, bytes]] = []
        self.repeated = 0
        self.connections = 0
        self.port = 0
        self._unacknowledged: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._arrived = asyncio.Condition()

    async def received(self, count: int) -> None:
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.published) >= count)

    def documents(self, topic: str = "") -> list[dict[str, Any]]:
        """The payloads that arrived on topics that begin like this, decoded."""
        return [json.loads(payload) for name, payload in self.published if name.startswith(topic)]

    def acknowledge(self, count: int | None = None) -> None:
        due, self._unacknowledged = self._unacknowledged[:count], self._unacknowledged[len(self._unacknowledged) :]
        for writer, mid in due:
            writer.write(b"\x40\x02" + mid)

    def cut(self) -> None:
        """Break all connections; whatever had no PUBACK stays without."""
        self._unacknowledged.clear()
        for writer in self._writers:
            writer.transport.abort()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Broker"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self
            self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        try:
            while True:
                head = (await reader.readexactly(1))[0]
                body = await reader.readexactly(await self._length(reader))
                if head >> 4 == 1:
                    writer.write(bytes([0x20, 2, 0, self.connack]))
                elif head >> 4 == 8:
                    writer.write(b"\x90\x03" + body[:2] + b"\x01")
                elif head >> 4 == 3:
                    await self._publish(head, body, writer)
                else:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _length(self, reader: asyncio.StreamReader) -> int:
        length, shift = 0, 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return length

    async def _publish(self, head: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack_from("!H", body)
        topic, mid, payload = body[2 : 2 + size].decode(), body[2 + size : 4 + size], body[4 + size :]
        self.repeated += head >> 3 & 1
        self.published.append((topic, payload))
        self._unacknowledged.append((writer, mid))
        if self.acknowledging:
            self.acknowledge()
        async with self._arrived:
            self._arrived.notify_all()


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker().serving() as broker:
        yield broker


def fast(broker: Broker, **changes: Any) -> FleetOptions:
    return replace(FleetOptions(host="127.0.0.1", port=broker.port, vens=7, rate=5000.0), **changes)


def test_a_home_depends_on_seed_index_and_time_alone() -> None:
    forward = [Home(1, 3).at(NOON + n) for n in range(50)]
    home = Home(1, 3)
    assert [home.at(NOON + n) for n in reversed(range(50))][::-1] == forward
    assert [Home(1, 4).at(NOON + n) for n in range(50)] != forward
    assert [Home(2, 3).at(NOON + n) for n in range(50)] != forward
    assert home.baseline_kw(NOON) == Home(1, 3).baseline_kw(NOON + 1)


def test_every_home_has_eight_circuits_that_add_up() -> None:
    for index in range(60):
        home = Home(1, index)
        assert len({circuit.id for circuit in home.circuits}) == 8
        for hour in range(24):
            meter = home.at(NOON + hour * HOUR)
            assert meter.used_kw == pytest.approx(sum(meter.circuits_kw), abs=1e-9)
            for circuit, kw in zip(home.circuits, meter.circuits_kw, strict=True):
                assert abs(kw) <= circuit.capacity_kw
                assert kw >= 0 or circuit.type in {"pv", "battery"}


def test_solar_panels_feed_in_by_day_and_rest_at_night() -> None:
    at = {hour: Counter[str]() for hour in (0, 12)}
    for index in range(60):
        home = Home(1, index)
        for hour, powers in at.items():
            for circuit, kw in zip(home.circuits, home.at(NOON + (hour - 12) * HOUR).circuits_kw, strict=True):
                powers[circuit.type] += round(kw * 1000)
    assert at[12]["pv"] < -10_000
    assert at[0]["pv"] == 0
    assert any(Home(1, index).at(NOON).used_kw < 0 for index in range(60))


def test_no_meter_shows_minus_zero() -> None:
    home = next(home for home in (Home(1, n) for n in range(100)) if any(c.type == "pv" for c in home.circuits))
    dawn = [home.at(NOON - 6 * HOUR + second) for second in range(-1200, 1200)]
    assert any(-0.01 < kw < 0 for meter in dawn for kw in meter.circuits_kw)
    assert "-0.0" not in {str(kw) for meter in dawn for kw in (meter.used_kw, *meter.circuits_kw)}


def test_the_evening_peaks_above_noon_and_cars_charge_at_night() -> None:
    homes = [Home(1, index) for index in range(80)]
    means = {hour: sum(home.at(NOON + (hour - 12) * HOUR).used_kw for home in homes) / 80 for hour in (11, 19.5)}
    assert means[19.5] > means[11] + 1.0
    ev = {hour: sum(home.at(NOON + (hour - 12) * HOUR).circuits_kw[2] for home in homes) for hour in (12, 23.5)}
    assert ev[12] == 0
    assert ev[23.5] > 50


def test_a_thermostat_cycles() -> None:
    powers = [Home(1, 0).at(NOON + 60 * minute).circuits_kw[0] for minute in range(180)]
    starts = sum(before < 0.1 < after for before, after in pairwise(powers))
    assert starts >= 4


def test_a_battery_charges_by_as_much_as_it_takes_in() -> None:
    home = next(home for home in (Home(1, n) for n in range(100)) if home.battery is not None)
    place = [circuit.type for circuit in home.circuits].index("battery")
    meters = [home.at(NOON + 60 * minute) for minute in range(24 * 60)]
    socs = [meter.battery_soc for meter in meters if meter.battery_soc is not None]
    assert len(socs) == len(meters)
    assert 0.0 < min(socs) < 0.2
    assert 0.9 < max(socs) < 1.0
    taken_in_kwh = sum(max(0.0, meter.circuits_kw[place]) for meter in meters) / 60
    given_kwh = -sum(min(0.0, meter.circuits_kw[place]) for meter in meters) / 60
    assert 8.0 * 0.8 < taken_in_kwh < 16.0 * 0.8
    assert given_kwh == pytest.approx(taken_in_kwh, rel=0.02)


@pytest.mark.parametrize("interval", [5.0, 1.1, 0.25])
def test_turns_are_spread_evenly_and_in_order(interval: float) -> None:
    options = FleetOptions(host="", port=1, vens=50, interval=interval, loads_interval=3 * interval)
    some = list(islice(slots(options), 2000))
    assert [turn.offset_ms for turn in some] == sorted(turn.offset_ms for turn in some)
    samples = [turn for turn in some if not turn.snapshot]
    assert len({(turn.ven, turn.offset_ms) for turn in samples}) == len(samples)
    per_tenth = Counter(turn.offset_ms * 10 // options.interval_ms for turn in samples if turn.offset_ms < 10_000)
    assert max(per_tenth.values()) - min(list(per_tenth.values())[:-1]) <= 1
    assert sum(turn.snapshot for turn in some) == pytest.approx(500, abs=60)


@pytest.mark.parametrize("wrong", [{"vens": 0}, {"connections": 0}, {"interval": 0.0}, {"rate": 0.0}])
def test_a_fleet_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|above 0"):
        replace(FleetOptions(host="", port=1), **wrong)


@pytest.mark.parametrize("interval", [5.0, 1.5, 0.05])
async def test_no_ven_and_time_comes_twice(broker: Broker, interval: float) -> None:
    fleet = Fleet(fast(broker, interval=interval))
    await fleet.run(stop=asyncio.Event(), messages=300)
    metering = broker.documents("volttron/metering")
    assert len(metering) == fleet.published == fleet.accepted == len(fleet.ledger) == 300
    assert len({(payload["venId"], payload["timestamp"]) for payload in metering}) == 300
    assert sum(len(samples) for samples in fleet.ledger.accepted_samples().values()) == 300


async def test_a_sample_says_what_the_ledger_says(broker: Broker) -> None:
    fleet = Fleet(fast(broker, vens=40))
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


async def test_snapshots_go_to_each_vens_own_topic(broker: Broker) -> None:
    fleet = Fleet(fast(broker))
    await fleet.run(stop=asyncio.Event(), messages=70)
    snapshots = [(topic, json.loads(payload)) for topic, payload in broker.published if topic.startswith("ven/loads/")]
    assert len(snapshots) == len(fleet.snapshots) == fleet.snapshots.published > 7
    assert all(topic == f"ven/loads/{snapshot['venId']}" for topic, snapshot in snapshots)
    kept = fleet.snapshots.accepted_samples()
    for _, snapshot in snapshots:
        used_kw = sum(load["currentPowerKw"] for load in snapshot["loads"])
        assert kept[snapshot["venId"]][snapshot["timestamp"] * 1000].used_kw == pytest.approx(used_kw)


async def test_without_a_topic_there_are_no_snapshots(broker: Broker) -> None:
    for changes in ({"loads_topic": None}, {"loads_enabled": False}):
        fleet = Fleet(fast(broker, **changes))
        await fleet.run(stop=asyncio.Event(), messages=20)
        assert fleet.snapshots.published == 0


async def test_a_fleet_on_the_clock_stops_when_told(broker: Broker) -> None:
    fleet, stop = Fleet(fast(broker, vens=200, rate=None, interval=10.0, loads_enabled=False)), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.run(stop=stop))
        begun = asyncio.get_running_loop().time()
        await broker.received(15)
        assert asyncio.get_running_loop().time() - begun > 0.6  # 15 of 200 turns of ten seconds
        stop.set()
    assert fleet.published == fleet.accepted == len(broker.published) < 200


async def test_accepted_means_acknowledged_by_the_broker(broker: Broker) -> None:
    broker.acknowledging = False
    fleet = Fleet(fast(broker, loads_enabled=False))
    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.run(stop=asyncio.Event(), messages=10))
        await broker.received(10)
        assert (fleet.published, fleet.accepted) == (10, 0)
        assert fleet.ledger.accepted_samples() == {}
        assert sum(map(len, fleet.ledger.published_samples().values())) == 10
        broker.acknowledge()
    assert fleet.accepted == 10
    assert fleet.ledger.accepted_samples() == fleet.ledger.published_samples()


async def test_a_full_window_makes_the_sender_wait(broker: Broker) -> None:
    broker.acknowledging = False
    accepted: list[int] = []
    async with Publisher("127.0.0.1", broker.port, "full", window=3) as publisher:
        for n in range(3):
            await publisher.wait_for_capacity()
            publisher.send("t", b"{}", lambda n=n: accepted.append(n))  # type: ignore[misc]
        await broker.received(3)
        waiting = asyncio.create_task(publisher.wait_for_capacity())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.05)
        broker.acknowledge(1)
        await waiting
        assert accepted == [0]
        assert await publisher.drain(0.05) == 2


async def test_what_had_no_puback_is_published_again(broker: Broker) -> None:
    broker.acknowledging = False
    fleet = Fleet(fast(broker, connections=1, loads_enabled=False))
    async with asyncio.TaskGroup() as group:
        group.create_task(fleet.run(stop=asyncio.Event(), messages=10))
        await broker.received(10)
        broker.acknowledging = True
        broker.cut()
    assert (fleet.published, fleet.accepted) == (10, 10)
    assert (broker.connections, broker.repeated) == (2, 10)
    assert broker.published[:10] == broker.published[10:]


async def test_a_broker_may_come_later(tmp_path: Path) -> None:
    broker = Broker()
    # None that a client might get for its own end: it would reach itself.
    broker.port = claim(tmp_path / "ports.json", ["mqtt"])["mqtt"]
    fleet = Fleet(fast(broker, connections=1))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(fleet.run(stop=asyncio.Event(), messages=5))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(running), 0.3)
        async with broker.serving():
            await running
    assert fleet.accepted == 5


async def test_a_fleet_without_a_broker_stops_when_told(tmp_path: Path) -> None:
    broker, stop = Broker(), asyncio.Event()
    broker.port = claim(tmp_path / "ports.json", ["mqtt"])["mqtt"]
    fleet = Fleet(fast(broker))
    stop.set()
    await fleet.run(stop=stop)
    assert fleet.published == 0


async def test_a_refusal_is_told_and_not_tried_again() -> None:
    async with Broker(connack=5).serving() as broker:
        with pytest.raises(BrokerRefusedError, match="Not authorized"):
            await Fleet(fast(broker, connections=3)).run(stop=asyncio.Event(), messages=1)
        assert broker.connections <= 3


def test_a_ledger_survives_its_process(tmp_path: Path) -> None:
    ledger = PublishLedger()
    tickets = [ledger.add(f"ven-{n % 3}", n * 1000, Sample(n / 8 - 1, 8)) for n in range(10)]
    for ticket in tickets[:7]:
        ledger.accept(ticket)
        ledger.accept(ticket)
    ledger.write(tmp_path / "ledger.jsonl")
    again = PublishLedger.read(tmp_path / "ledger.jsonl")
    assert (len(again), again.published) == (len(ledger), ledger.published) == (7, 10)
    assert again.accepted_samples() == ledger.accepted_samples() != {}
    assert again.published_samples() == ledger.published_samples() != ledger.accepted_samples()
    assert again.accepted_samples()["ven-1"] == {1000: Sample(-0.875, 8), 4000: Sample(-0.5, 8)}


async def test_a_replay_sends_what_vens_sent(broker: Broker) -> None:
    recording = RECORDINGS / "ven_enhanced.jsonl"
    records = [json.loads(line) for line in recording.read_text().splitlines()]
    result = await replay("127.0.0.1", broker.port, recording)
    sent = Counter(record["topic"] for record in records if not record["topic"].startswith("ven/cmd/"))
    assert result.counts == Counter(topic for topic, _ in broker.published) == sent
    assert result.accepted == sum(sent.values()) == 139
    assert result.left_out == len(records) - 139 > 0
    first = next(record["payload"] for record in records if record["topic"] == "volttron/metering")
    assert ("volttron/metering", first.encode()) in broker.published


async def test_a_replay_moves_all_times_by_one_amount(broker: Broker) -> None:
    shift_to = datetime(2025, 3, 1, 12, 0, 0, 700_000, UTC)
    await replay("127.0.0.1", broker.port, RECORDINGS / "ven_local.jsonl", shift_to=shift_to)
    times = [payload["ts"] for payload in broker.documents("ven/telemetry/")]
    assert times[:3] == [int(shift_to.timestamp()) + n for n in (0, 5, 10)]
    ack = broker.documents("ven/ack/")[0]
    assert ack["ts"] == 1795492222 - 1795492202 + times[0]
    assert (ack["op"], ack["correlationId"]) == ("ping", "c-ping-1")


async def test_a_replay_moves_every_spelling_of_time(broker: Broker, tmp_path: Path) -> None:
    begun = datetime(2025, 3, 1, 12, tzinfo=UTC)
    payload = {
        "timestamp": begun.isoformat(),
        "ts": begun.timestamp() + 0.5,
        "state": {"reported": {"timestamp": int(begun.timestamp()) * 1000, "active_event": {"end_ts": 1}}},
        "loads": [{"id": "a", "until": None}],
        "usedPowerKw": 1.5,
    }
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({"t": 0, "topic": "x", "qos": 1, "retain": False, "payload": json.dumps(payload)}))
    await replay("127.0.0.1", broker.port, path, shift_to=begun + timedelta(days=1))
    assert broker.documents() == [
        {
            "timestamp": "2025-03-02T12:00:00+00:00",
            "ts": begun.timestamp() + 86_400.5,
            "state": {
                "reported": {"timestamp": int(begun.timestamp() + 86_400) * 1000, "active_event": {"end_ts": 86_401}}
            },
            "loads": [{"id": "a", "until": None}],
            "usedPowerKw": 1.5,
        }
    ]


async def test_a_replay_sends_only_what_is_asked_for(broker: Broker) -> None:
    result = await replay(
        "127.0.0.1", broker.port, RECORDINGS / "ven_local.jsonl", only=lambda record: "/cmd/" in record["topic"]
    )
    assert result.counts == {"ven/cmd/ven-real-local": 13}
    assert result.accepted == 13


def test_garbage_is_the_same_again_and_says_what_is_wrong() -> None:
    now = datetime(2025, 3, 1, tzinfo=UTC)
    cases = {case.name: case for case in malformed_payloads(1, now)}
    assert list(cases.values()) == malformed_payloads(1, now) != malformed_payloads(2, now)
    assert len(cases) == len(malformed_payloads(1, now)) == 25
    assert all(len(case.payload) <= 128 * 1024 for case in cases.values())
    assert len(cases["large"].payload) == 128 * 1024
    assert len(json.loads(cases["long-id"].payload)["venId"]) == 129
    assert json.loads(cases["nul-in-id"].payload)["venId"].count("\0") == 1
    for name in ("large", "duplicate-keys", "nul-in-load", "no-time"):
        assert json.loads(cases[name].payload)["venId"].startswith("ven-garbage-")
    for name in ("not-json", "not-utf8"):
        with pytest.raises(ValueError, match=r"Expecting|decode"):
            json.loads(cases[name].payload)
