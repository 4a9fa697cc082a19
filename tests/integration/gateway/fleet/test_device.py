"""Homes of the fleet that are told something over a real MQTT broker: what they shed, answer and report."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

from gateway.fleet import Behaviour, Fleet, FleetOptions
from gateway.fleet.publisher import Publisher
from gateway.stack.polling import wait_until
from schemas.dr.commands import Command, event_command, restore_command
from tests.support.mosquitto import Mosquitto, Subscriber, needs_mosquitto, subscribed

pytestmark = needs_mosquitto
WAIT = 60


class Told:
    """A living fleet, somebody who tells its homes what to do, and a listener."""

    def __init__(self, fleet: Fleet, teller: Publisher, heard: Subscriber) -> None:
        self.fleet = fleet
        self._teller = teller
        self._heard = heard

    async def tell(self, command: Command, times: int = 1) -> None:
        for _ in range(times):
            await self._teller.wait_for_capacity()
            payload = json.dumps(command.payload).encode()
            self._teller.send(f"ven/cmd/{command.ven_id}", payload, lambda: None)
        assert await self._teller.drain(WAIT) == 0

    def answers(self, ven_id: str) -> list[dict[str, Any]]:
        return [json.loads(payload) for topic, payload in list(self._heard.messages) if topic == f"ven/ack/{ven_id}"]

    async def answered(self, ven_id: str, number: int) -> list[dict[str, Any]]:
        async def enough() -> bool:
            return len(self.answers(ven_id)) >= number

        assert await wait_until(enough, WAIT), self.answers(ven_id)
        return self.answers(ven_id)

    def samples(self, ven_id: str) -> list[dict[str, Any]]:
        """All samples of a VEN until now."""
        heard = [json.loads(data) for topic, data in list(self._heard.messages) if topic == "volttron/metering"]
        return [sample for sample in heard if sample["venId"] == ven_id]

    async def sample(self, ven_id: str, *wanted: str | None) -> dict[str, Any]:
        """The first sample that names an event, or none, behind those that name the events before it, in order."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found.clear()
            samples = iter(self.samples(ven_id))
            found.extend(filter(None, (_first(samples, event_id) for event_id in wanted)))
            return len(found) == len(wanted)

        assert await wait_until(there, WAIT, every=0.1)
        return found[-1]

    async def started_anew(self, ven_id: str) -> dict[str, Any]:
        """The first sample after a power cut: devices count from 1 again."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found.extend(
                later
                for earlier, later in pairwise(self.samples(ven_id))
                if later["message_num"] < earlier["message_num"]
            )
            return bool(found)

        assert await wait_until(there, WAIT, every=0.1)
        return found[0]


@asynccontextmanager
async def living(mosquitto: Mosquitto, **changes: Any) -> AsyncIterator[Told]:
    options: dict[str, Any] = {"vens": 6, "interval": 0.2, "loads_interval": 0.5, "connections": 2, **changes}
    fleet, stop = Fleet(FleetOptions(host="127.0.0.1", port=mosquitto.port, **options)), asyncio.Event()
    with subscribed(mosquitto.port) as heard:
        async with Publisher("127.0.0.1", mosquitto.port, "teller") as teller, asyncio.TaskGroup() as group:
            group.create_task(fleet.run(stop=stop))
            try:
                assert await heard.received(options["vens"])
                yield Told(fleet, teller, heard)
            finally:
                stop.set()


def _first(samples: Iterator[dict[str, Any]], event_id: str | None) -> dict[str, Any] | None:
    return next((sample for sample in samples if sample["eventId"] == event_id), None)


async def test_an_event_is_shed_acked_reported_and_restored(mosquitto: Mosquitto) -> None:
    ven_id = "ven-sim-00003"
    async with living(mosquitto) as told:
        event = event_command(ven_id, "evt-1", 0.5, 600)
        await told.tell(event)
        (ack,) = await told.answered(ven_id, 1)
        assert ack["correlationId"] == event.correlation_id
        shed_kw = ack.get("actual_shed_kw", ack.get("actualShedKw"))
        sample = await told.sample(ven_id, "evt-1")
        assert (sample["shedPowerKw"], sample["shed_kw"], sample["active_event"]) == (shed_kw, shed_kw, "evt-1")
        assert sample["requestedReductionKw"] == 0.5
        restore = restore_command(ven_id, "evt-1")
        await told.tell(restore)
        assert (await told.answered(ven_id, 2))[1]["correlationId"] == restore.correlation_id
        assert (await told.sample(ven_id, "evt-1", None))["shedPowerKw"] == 0
    dr = told.fleet.dr
    assert dr.command_counts("evt-1", "event") == dr.command_counts("evt-1", "restore") == {ven_id: 1}
    assert [command.correlation_id for command in dr.commands[ven_id]] == [event.correlation_id, restore.correlation_id]
    assert [answer.payload for answer in dr.acks[ven_id]] == told.answers(ven_id)
    reported = list(dr.samples(ven_id))
    assert {sample.shed_kw for sample in reported if sample.event_id == "evt-1"} == {shed_kw}
    assert len(reported) == len(told.fleet.ledger.accepted_samples()[ven_id])


async def test_a_repeated_event_sheds_and_acks_twice(mosquitto: Mosquitto) -> None:
    async with living(mosquitto, vens=40) as told:
        # One whose circuits draw enough for two sheds.
        draws = {ven: max(by_time.items())[1].used_kw for ven, by_time in told.fleet.ledger.published_samples().items()}
        ven_id = max(draws, key=lambda ven: draws[ven])
        await told.tell(event_command(ven_id, "evt-1", 0.5, 600), times=2)
        acks = await told.answered(ven_id, 2)
        assert [ack.get("actual_shed_kw", ack.get("actualShedKw")) for ack in acks] == [0.5, 0.5]
        assert (await told.sample(ven_id, "evt-1"))["shedPowerKw"] == 0.5
    assert told.fleet.dr.command_counts("evt-1", "event") == {ven_id: 2}


async def test_an_event_expires_on_the_device_without_an_ack(mosquitto: Mosquitto) -> None:
    async with living(mosquitto) as told:
        await told.tell(event_command("ven-sim-00001", "evt-1", 0.5, 1))
        await told.sample("ven-sim-00001", "evt-1", None)
        assert len(told.answers("ven-sim-00001")) == 1


async def test_each_behaviour_deviates_as_configured(mosquitto: Mosquitto) -> None:
    bad = [behaviour for behaviour in Behaviour if behaviour is not Behaviour.COMPLIANT]
    shares = dict.fromkeys(bad, 1 / 16)
    behaviours = {"vens": 16, "behaviours": shares, "slow_seconds": 1.0, "power_cut_seconds": 1.0}
    async with living(mosquitto, **behaviours) as told:
        ven_of = {behaviour: ven_id for ven_id, behaviour in told.fleet.behaviours.items()}
        assert len(ven_of) == len(Behaviour)
        for ven_id in ven_of.values():
            await told.tell(event_command(ven_id, "evt-1", 0.4, 600))
        refused = (await told.answered(ven_of[Behaviour.REFUSES], 1))[0]
        assert refused["error"]
        assert refused.get("status") == "rejected" or refused["ok"] is False
        await told.sample(ven_of[Behaviour.SLOW], "evt-1")
        assert len(await told.answered(ven_of[Behaviour.SLOW], 1)) == 1
        first, second, third = await told.answered(ven_of[Behaviour.REPEATS], 3)
        assert first == second
        assert third == first | {"ts": third["ts"]} != first
        lies = await told.sample(ven_of[Behaviour.LIES], "evt-1")
        assert lies["shedPowerKw"] > 0
        forgetful = await told.started_anew(ven_of[Behaviour.FORGETS])
        assert (forgetful["eventId"], forgetful["message_num"]) == (None, 1)
        assert told.answers(ven_of[Behaviour.SILENT]) == []
    assert all(sample.event_id is None for sample in told.fleet.dr.samples(ven_of[Behaviour.SILENT]))


async def test_a_command_waits_until_the_broker_is_back(mosquitto: Mosquitto) -> None:
    async with living(mosquitto) as told:
        mosquitto.stop(signal.SIGTERM)
        await mosquitto.start()
        await told.tell(event_command("ven-sim-00002", "evt-1", 0.5, 600))
        await told.answered("ven-sim-00002", 1)


async def test_a_load_test_fleet_subscribes_to_no_commands(mosquitto: Mosquitto) -> None:
    fleet = Fleet(FleetOptions(host="127.0.0.1", port=mosquitto.port, vens=2, rate=1000))
    await fleet.run(stop=asyncio.Event(), messages=20)
    assert not any((fleet.behaviours, fleet.generations, fleet.dr.commands, fleet.dr.ven_ids()))
