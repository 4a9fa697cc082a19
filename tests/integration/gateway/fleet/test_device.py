"""Simulated homes that get commands over a real MQTT broker: what they shed, acknowledge and report."""

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


class CommandedFleet:
    """A running fleet, a publisher of commands, and a subscriber."""

    def __init__(self, fleet: Fleet, publisher: Publisher, subscriber: Subscriber) -> None:
        self.fleet = fleet
        self._publisher = publisher
        self._subscriber = subscriber

    async def send(self, command: Command, times: int = 1) -> None:
        for _ in range(times):
            await self._publisher.wait_for_capacity()
            payload = json.dumps(command.payload).encode()
            self._publisher.send(f"ven/cmd/{command.ven_id}", payload, lambda: None)
        assert await self._publisher.drain(WAIT) == 0

    def answers(self, ven_id: str) -> list[dict[str, Any]]:
        return [
            json.loads(payload) for topic, payload in list(self._subscriber.messages) if topic == f"ven/ack/{ven_id}"
        ]

    async def answered(self, ven_id: str, number: int) -> list[dict[str, Any]]:
        async def enough() -> bool:
            return len(self.answers(ven_id)) >= number

        assert await wait_until(enough, WAIT), self.answers(ven_id)
        return self.answers(ven_id)

    def samples(self, ven_id: str) -> list[dict[str, Any]]:
        """All samples of a VEN until now."""
        samples = [json.loads(data) for topic, data in list(self._subscriber.messages) if topic == "volttron/metering"]
        return [sample for sample in samples if sample["venId"] == ven_id]

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
async def living(mosquitto: Mosquitto, **changes: Any) -> AsyncIterator[CommandedFleet]:
    options: dict[str, Any] = {"vens": 6, "interval": 0.2, "loads_interval": 0.5, "connections": 2, **changes}
    fleet, stop = Fleet(FleetOptions(host="127.0.0.1", port=mosquitto.port, **options)), asyncio.Event()
    with subscribed(mosquitto.port) as subscriber:
        async with Publisher("127.0.0.1", mosquitto.port, "commands") as publisher, asyncio.TaskGroup() as group:
            group.create_task(fleet.run(stop=stop))
            try:
                assert await subscriber.received(options["vens"])
                yield CommandedFleet(fleet, publisher, subscriber)
            finally:
                stop.set()


def _first(samples: Iterator[dict[str, Any]], event_id: str | None) -> dict[str, Any] | None:
    return next((sample for sample in samples if sample["eventId"] == event_id), None)


async def test_an_event_is_shed_acked_reported_and_restored(mosquitto: Mosquitto) -> None:
    ven_id = "ven-sim-00003"
    async with living(mosquitto) as running:
        event = event_command(ven_id, "evt-1", 0.5, 600)
        await running.send(event)
        (ack,) = await running.answered(ven_id, 1)
        assert ack["correlationId"] == event.correlation_id
        shed_kw = ack.get("actual_shed_kw", ack.get("actualShedKw"))
        sample = await running.sample(ven_id, "evt-1")
        assert (sample["shedPowerKw"], sample["shed_kw"], sample["active_event"]) == (shed_kw, shed_kw, "evt-1")
        assert sample["requestedReductionKw"] == 0.5
        restore = restore_command(ven_id, "evt-1")
        await running.send(restore)
        assert (await running.answered(ven_id, 2))[1]["correlationId"] == restore.correlation_id
        assert (await running.sample(ven_id, "evt-1", None))["shedPowerKw"] == 0
    dr = running.fleet.dr
    assert dr.command_counts("evt-1", "event") == dr.command_counts("evt-1", "restore") == {ven_id: 1}
    assert [command.correlation_id for command in dr.commands[ven_id]] == [event.correlation_id, restore.correlation_id]
    assert [answer.payload for answer in dr.acks[ven_id]] == running.answers(ven_id)
    reported = list(dr.samples(ven_id))
    assert {sample.shed_kw for sample in reported if sample.event_id == "evt-1"} == {shed_kw}
    assert len(reported) == len(running.fleet.ledger.accepted_samples()[ven_id])


async def test_a_repeated_event_sheds_and_acks_twice(mosquitto: Mosquitto) -> None:
    async with living(mosquitto, vens=40) as running:
        # One whose circuits draw enough for two sheds.
        draws = {
            ven: max(by_time.items())[1].used_kw for ven, by_time in running.fleet.ledger.published_samples().items()
        }
        ven_id = max(draws, key=lambda ven: draws[ven])
        await running.send(event_command(ven_id, "evt-1", 0.5, 600), times=2)
        acks = await running.answered(ven_id, 2)
        assert [ack.get("actual_shed_kw", ack.get("actualShedKw")) for ack in acks] == [0.5, 0.5]
        assert (await running.sample(ven_id, "evt-1"))["shedPowerKw"] == 0.5
    assert running.fleet.dr.command_counts("evt-1", "event") == {ven_id: 2}


async def test_an_event_expires_on_the_device_without_an_ack(mosquitto: Mosquitto) -> None:
    async with living(mosquitto) as running:
        await running.send(event_command("ven-sim-00001", "evt-1", 0.5, 1))
        await running.sample("ven-sim-00001", "evt-1", None)
        assert len(running.answers("ven-sim-00001")) == 1


async def test_each_behaviour_deviates_as_configured(mosquitto: Mosquitto) -> None:
    bad = [behaviour for behaviour in Behaviour if behaviour is not Behaviour.COMPLIANT]
    shares = dict.fromkeys(bad, 1 / 16)
    behaviours = {"vens": 16, "behaviours": shares, "slow_seconds": 1.0, "power_cut_seconds": 1.0}
    async with living(mosquitto, **behaviours) as running:
        ven_of = {behaviour: ven_id for ven_id, behaviour in running.fleet.behaviours.items()}
        assert len(ven_of) == len(Behaviour)
        for ven_id in ven_of.values():
            await running.send(event_command(ven_id, "evt-1", 0.4, 600))
        refused = (await running.answered(ven_of[Behaviour.REFUSES], 1))[0]
        assert refused["error"]
        assert refused.get("status") == "rejected" or refused["ok"] is False
        await running.sample(ven_of[Behaviour.SLOW], "evt-1")
        assert len(await running.answered(ven_of[Behaviour.SLOW], 1)) == 1
        first, second, third = await running.answered(ven_of[Behaviour.REPEATS], 3)
        assert first == second
        assert third == first | {"ts": third["ts"]} != first
        lies = await running.sample(ven_of[Behaviour.LIES], "evt-1")
        assert lies["shedPowerKw"] > 0
        forgetful = await running.started_anew(ven_of[Behaviour.FORGETS])
        assert (forgetful["eventId"], forgetful["message_num"]) == (None, 1)
        assert running.answers(ven_of[Behaviour.SILENT]) == []
    assert all(sample.event_id is None for sample in running.fleet.dr.samples(ven_of[Behaviour.SILENT]))


async def test_a_command_waits_until_the_broker_is_back(mosquitto: Mosquitto) -> None:
    async with living(mosquitto) as running:
        mosquitto.stop(signal.SIGTERM)
        await mosquitto.start()
        await running.send(event_command("ven-sim-00002", "evt-1", 0.5, 600))
        await running.answered("ven-sim-00002", 1)


async def test_a_load_test_fleet_subscribes_to_no_commands(mosquitto: Mosquitto) -> None:
    fleet = Fleet(FleetOptions(host="127.0.0.1", port=mosquitto.port, vens=2, rate=1000))
    await fleet.run(stop=asyncio.Event(), messages=20)
    assert not any((fleet.behaviours, fleet.generations, fleet.dr.commands, fleet.dr.ven_ids()))
