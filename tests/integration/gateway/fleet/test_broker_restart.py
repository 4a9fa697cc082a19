"""The fleet against a real MQTT broker that is killed and started again while it publishes."""

import asyncio
import signal
from collections import Counter

from gateway.fleet import Fleet, FleetOptions, replay
from tests.support.mosquitto import Mosquitto, needs_mosquitto, subscribed
from tests.support.paths import RECORDINGS

pytestmark = needs_mosquitto


async def publish_and_stop(mosquitto: Mosquitto, *stops: tuple[int, signal.Signals]) -> None:
    """Publish 3,000 samples while the broker is stopped and started each time so many messages have come through."""
    fleet = Fleet(FleetOptions(host="127.0.0.1", port=mosquitto.port, vens=50, rate=1500))
    with subscribed(mosquitto.port) as subscriber:
        async with asyncio.TaskGroup() as group:
            group.create_task(fleet.run(stop=asyncio.Event(), messages=3000))
            owed = 0
            for so_far, how in stops:
                assert await subscriber.received(so_far)
                mosquitto.stop(how)
                owed = fleet.published - len(subscriber.keys())
                await mosquitto.start()
        accepted = {(ven, time_ms) for ven, samples in fleet.ledger.accepted_samples().items() for time_ms in samples}
        # A publisher that did not send again what had no PUBACK would not come to this number.
        assert fleet.published == fleet.accepted == len(accepted) == 3000
        if any(how is signal.SIGKILL for _, how in stops):
            # mosquitto gives PUBACK before it saves or delivers: what a killed one owed is gone, nobody can know.
            assert await subscriber.holds(lambda keys: len(keys) >= 3000 - owed)
            assert subscriber.keys() <= accepted
            return
        assert await subscriber.holds(lambda keys: keys >= accepted)
        assert subscriber.keys() == accepted


async def test_unaccepted_messages_are_republished_after_a_kill(mosquitto: Mosquitto) -> None:
    await publish_and_stop(mosquitto, (700, signal.SIGKILL))


async def test_repeated_broker_restarts_lose_nothing_accepted(mosquitto: Mosquitto) -> None:
    await publish_and_stop(mosquitto, (500, signal.SIGTERM), (1000, signal.SIGTERM), (1800, signal.SIGTERM))


async def test_replay_against_a_broker(mosquitto: Mosquitto) -> None:
    with subscribed(mosquitto.port) as subscriber:
        result = await replay("127.0.0.1", mosquitto.port, RECORDINGS / "ven_enhanced.jsonl")
        assert await subscriber.received(139)
    assert Counter(topic for topic, _ in subscriber.messages) == result.counts
    assert result.accepted == 139
