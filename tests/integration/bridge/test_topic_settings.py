"""The topic settings change between runs of the bridge; overlapping filters deliver once."""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from bridge.mqtt.connection import Connection
from bridge.mqtt.subscription_store import SubscriptionStore
from gateway.stack import LocalStack, Server
from gateway.stack.polling import wait_until
from runtime.kafka import producer
from schemas.mqtt.routing import Kind
from schemas.mqtt.subscriptions import Subscription, SubscriptionList
from schemas.records.topics import SUBSCRIPTIONS
from schemas.settings.blocks import KafkaSettings
from schemas.settings.mqtt import MqttSettings
from tests.support.bridges import Bridges
from tests.support.brokers import broker
from tests.support.kafka_records import read_all, writer
from tests.support.publishing import publish

__all__ = ["broker"]

QUEUED = [b"%d" % number for number in range(300)]
# More than the broker delivers before an immediate UNSUBSCRIBE.
MUCH = [b"%d" % number + b" " * 8_000 for number in range(1500)]
WAIT = 60


@pytest.fixture
def bridges(broker: Server, kafka: KafkaSettings, tmp_path: Path) -> Bridges:
    mqtt = MqttSettings(
        mqtt_host=broker.host, mqtt_port=broker.port, mqtt_use_tls=False, mqtt_client_id=f"test-{uuid4()}"
    )
    return Bridges(mqtt, kafka, tmp_path)


@pytest.fixture
def site() -> str:
    """The first topic level, unique to the test."""
    return f"site-{uuid4()}"


async def send(bridges: Bridges, topic: str, payloads: Sequence[bytes]) -> None:
    await publish(bridges.mqtt.mqtt_host, bridges.mqtt.mqtt_port, [(topic, payload) for payload in payloads])


async def values(bridges: Bridges, kind: Kind) -> Counter[bytes]:
    return Counter(record.value for record in await read_all(bridges.kafka, bridges.kafka.topics.raw(kind)))


async def arrives(bridges: Bridges, topic: str, payload: bytes, kind: Kind) -> bool:
    """Publish a message and wait until it is in the raw topic of this kind."""
    await send(bridges, topic, [payload])

    async def there() -> bool:
        return payload in await values(bridges, kind)

    return await wait_until(there, WAIT, every=0.2)


async def stored_list(bridges: Bridges) -> SubscriptionList:
    """The subscription list in Kafka."""
    records = await read_all(bridges.kafka, bridges.kafka.topics(SUBSCRIPTIONS))
    return SubscriptionList.decode(records[-1].value) if records else SubscriptionList()


async def test_messages_queued_for_a_removed_filter_arrive_once(bridges: Bridges, site: str) -> None:
    async with bridges.running(mqtt_topic_metering=f"{site}/old/+"):
        pass
    await send(bridges, f"{site}/old/1", MUCH)
    async with bridges.running(mqtt_topic_metering=f"{site}/new/+", mqtt_topic_status=f"{site}/dev"):
        await send(bridges, f"{site}/old/1", [b"unwanted"])
        assert await arrives(bridges, f"{site}/new/1", b"new", Kind.METERING)
    assert await values(bridges, Kind.METERING) == Counter([*MUCH, b"new"])
    # The broker did not queue it either.
    async with bridges.running(mqtt_topic_metering=f"{site}/new/+"):
        assert await arrives(bridges, f"{site}/new/1", b"again", Kind.METERING)
    assert await values(bridges, Kind.METERING) == Counter([*MUCH, b"new", b"again"])
    assert not await values(bridges, Kind.OTHER)
    assert not await values(bridges, Kind.STATUS)


async def test_a_kill_during_the_change_loses_nothing(bridges: Bridges, stack: LocalStack, site: str) -> None:
    first = await bridges.process(stack, mqtt_topic_metering=f"{site}/old/+")
    assert await wait_until(bridges.ready, WAIT)
    await first.kill()
    await send(bridges, f"{site}/old/1", QUEUED)
    second = await bridges.process(stack, mqtt_topic_status=f"{site}/new/+")

    async def written() -> bool:
        return any(entry.filter == f"{site}/new/+" for entry in (await stored_list(bridges)).filters)

    assert await wait_until(written, WAIT, every=0.01)
    await second.kill()
    await send(bridges, f"{site}/new/1", [b"perhaps"])
    async with bridges.running(mqtt_topic_events=f"{site}/third"):
        await send(bridges, f"{site}/old/1", [b"unwanted"])
        await send(bridges, f"{site}/new/1", [b"unwanted"])
        assert await arrives(bridges, f"{site}/third", b"third", Kind.EVENTS)
    # Messages in flight at the kill are redelivered.
    assert set(await values(bridges, Kind.METERING)) == set(QUEUED)
    assert set(await values(bridges, Kind.STATUS)) <= {b"perhaps"}
    assert not await values(bridges, Kind.OTHER)
    assert {entry.filter for entry in (await stored_list(bridges)).filters if entry.subscribed} == {
        "ven/ack/+",
        f"{site}/third",
    }


def stop_before(step: str, patch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Let a bridge stop before a step; the result tells whether it has reached it."""
    reached = asyncio.Event()
    write = SubscriptionStore.write

    async def block(*_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    async def write_unless_last(store: SubscriptionStore, changed: SubscriptionList) -> None:
        await (write(store, changed) if all(each.subscribed for each in changed.former) else block())

    if step == "confirm":
        patch.setattr(SubscriptionStore, "write", write_unless_last)
    else:
        patch.setattr(Connection, step, block)
    return reached.is_set


@pytest.mark.parametrize("broker", ["stack"], indirect=True)
@pytest.mark.parametrize("step", ["subscribe", "unsubscribe", "confirm"])
async def test_the_bridge_may_end_before_any_step_of_a_change(
    bridges: Bridges, site: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async with bridges.running(mqtt_topic_metering=f"{site}/old/+"):
        pass
    await send(bridges, f"{site}/old/1", QUEUED)
    with monkeypatch.context() as patch:
        reached = stop_before(step, patch)
        changing = bridges.task(asyncio.Event(), mqtt_topic_metering=f"{site}/new/+")
        assert await wait_until(reached, WAIT)
        changing.cancel()
        await wait_until(changing.done, WAIT)
    gc.collect()  # an unclosed connection fails here, not in another test
    async with bridges.running(mqtt_topic_events=f"{site}/third"):
        await send(bridges, f"{site}/old/1", [b"unwanted"])
        await send(bridges, f"{site}/new/1", [b"unwanted"])
        assert await arrives(bridges, f"{site}/third", b"third", Kind.EVENTS)
    assert set(await values(bridges, Kind.METERING)) == set(QUEUED)
    assert not await values(bridges, Kind.OTHER)


async def test_a_covered_filter_delivers_once(bridges: Bridges, site: str) -> None:
    async with bridges.running(mqtt_topics=f"{site}/door,{site}/+"):
        pass
    await send(bridges, f"{site}/door", QUEUED)
    async with bridges.running(mqtt_topic_metering=f"{site}/#", mqtt_topics=f"{site}/door"):
        assert await arrives(bridges, f"{site}/door", b"door", Kind.OTHER)
        assert await arrives(bridges, f"{site}/1", b"1", Kind.METERING)
        assert await arrives(bridges, f"{site}/door", b"last", Kind.OTHER)
    assert await values(bridges, Kind.OTHER) == Counter([*QUEUED, b"door", b"last"])
    assert await values(bridges, Kind.METERING) == Counter([b"1"])


async def test_partly_overlapping_filters_lose_nothing(bridges: Bridges, site: str) -> None:
    async with bridges.running(mqtt_topic_metering=f"{site}/a/#", mqtt_topic_status=f"{site}/+/b"):
        assert await arrives(bridges, f"{site}/a/b", b"both", Kind.METERING)
        assert await arrives(bridges, f"{site}/a/c", b"last", Kind.METERING)
    # MQTT allows both: mosquitto 2.0 delivers once, Artemis once for each subscription.
    assert (await values(bridges, Kind.METERING))[b"both"] in (1, 2)
    assert not await values(bridges, Kind.STATUS)


@pytest.mark.parametrize("broker", ["stack"], indirect=True)
async def test_malformed_subscription_lists_are_ignored(bridges: Bridges, site: str) -> None:
    async with bridges.running(mqtt_topic_metering=f"{site}/old"):
        pass
    key, name = bridges.mqtt.mqtt_client_id.encode(), bridges.kafka.topics(SUBSCRIPTIONS)
    async with writer(bridges.kafka) as log:
        for value in (b"no json", b'{"filters":[{"filter":"a#"},7]}'[:-3], b"\xff", b"[" * 100_000):
            await log.one(name, value, key=key)
        await log.one(name, b'{"filters":[{"filter":"x","kind":null,"settings":1,"subscribed":true}]}', key=b"another")
    async with bridges.running(mqtt_topic_metering=f"{site}/new"):
        await send(bridges, f"{site}/old", [b"unwanted"])
        assert await arrives(bridges, f"{site}/new", b"new", Kind.METERING)
    assert await values(bridges, Kind.METERING) == Counter([b"new"])


@pytest.mark.parametrize("broker", ["stack"], indirect=True)
async def test_a_subscription_list_is_read_as_written(bridges: Bridges) -> None:
    async with producer(bridges.kafka, "test") as log:
        mine, other = (SubscriptionStore(bridges.kafka, log, f"client-{name}") for name in "ab")
        await mine.read()
        assert mine.list == SubscriptionList()
        await mine.write(SubscriptionList((Subscription("ü/+", None, 1, subscribed=True),)))
        again = SubscriptionStore(bridges.kafka, log, "client-a")
        await again.read()
        await other.read()
    assert again.list == mine.list
    assert len(again.list.filters) == 1
    assert other.list == SubscriptionList()


async def test_reading_the_list_waits_for_kafka(caplog: pytest.LogCaptureFixture) -> None:
    nowhere = KafkaSettings(kafka_bootstrap_servers="127.0.0.1:1")
    reading = asyncio.create_task(SubscriptionStore(nowhere, None, "client").read())
    assert await wait_until(lambda: caplog.text.count("cannot read bridge.subscriptions") > 1, WAIT)
    assert not reading.done()
    reading.cancel()
    await asyncio.wait({reading})
