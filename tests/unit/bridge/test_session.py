"""What the session requests from a broker that refuses: a stand-in, because real brokers cannot be made to."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import aiomqtt
import pytest

import bridge.mqtt.subscriber
import bridge.session
from bridge.mqtt.packet_reader import Message
from bridge.session import Session
from gateway.stack.polling import wait_until
from schemas.mqtt.subscriptions import SubscriptionList
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings

OFF = {f"mqtt_topic_{name}": "" for name in ("metering", "status", "events", "responses", "shadow")}


class Broker:
    """Keeps one session; refuses some filters, and closes the connection when others are unsubscribed."""

    def __init__(self) -> None:
        self.session: set[str] = set()
        self.refused: set[str] = set()
        self.fatal: set[str] = set()
        self.connections = 0


class FakeConnection:
    """A connection to it."""

    reading = True
    pauses = 0

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def __aenter__(self) -> Self:
        self._broker.connections += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def subscribe(self, filters: Sequence[str]) -> list[str]:
        refused = [name for name in filters if name in self._broker.refused]
        self._broker.session |= set(filters).difference(refused)
        return refused

    async def unsubscribe(self, filters: Sequence[str]) -> None:
        if self._broker.fatal.intersection(filters):
            raise aiomqtt.MqttError("closed")
        self._broker.session -= set(filters)

    async def wait_until_lost(self) -> None:
        await asyncio.Event().wait()


class MemoryStore:
    """A subscription store in memory."""

    def __init__(self, before: SubscriptionList) -> None:
        self.list = before

    async def write(self, changed: SubscriptionList) -> None:
        self.list = changed


class Idle:
    """An uplink, sender and echo that have nothing to do."""

    def attach(self, connection: Any) -> None:
        pass

    def receive(self, connection: Any, message: Message) -> None:
        pass

    async def flush(self) -> None:
        pass

    def acknowledge_after(self, evidence: Any, connection: Any, message: Message) -> None:
        pass

    def detach(self) -> None:
        pass


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(bridge.session, "Connection", lambda *_: FakeConnection(broker))
    monkeypatch.setattr(bridge.mqtt.subscriber, "_SILENCE_SECONDS", 0)
    return broker


@asynccontextmanager
async def running(
    before: SubscriptionList, *, echo: bool = False, **topics: str
) -> AsyncIterator[tuple[Session, MemoryStore]]:
    routes = MqttTopicSettings.load(**OFF | topics).routes
    store = MemoryStore(before.with_settings(routes).subscribed(routes.filters))
    mqtt = MqttSettings(mqtt_host="nowhere", mqtt_port=1, mqtt_use_tls=False)
    idle: Any = Idle()
    session = Session(mqtt, routes, idle, store, idle, idle, subscribe_echo=echo)  # type: ignore[arg-type]
    task = asyncio.create_task(session.run())
    try:
        yield session, store
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_narrower_filters_replace_a_refused_wide_one(broker: Broker) -> None:
    settings = {"mqtt_topic_metering": "site/#", "mqtt_topics": "site/+,site/a"}
    broker.session = {"ven/ack/+", "site/a", "site/+"}
    broker.refused = {"site/#"}
    async with running(SubscriptionList(), echo=False, **settings) as (session, store):
        assert await wait_until(lambda: "site/a" not in broker.session, 30)
        assert broker.session == {"ven/ack/+", "site/+"}
        assert not session.ready
        held = {entry.filter: entry.subscribed for entry in store.list.filters}
        assert held == {"site/#": True, "ven/ack/+": True, "site/+": True, "site/a": False}
    broker.refused = set()
    async with running(store.list, echo=False, **settings) as (session, store):
        assert await wait_until(lambda: session.ready, 30)
        assert broker.session == {"ven/ack/+", "site/#"}


async def test_a_broker_that_closes_over_unsubscribe_stops_nothing(broker: Broker) -> None:
    async with running(SubscriptionList(), mqtt_topics="bad") as (session, store):
        assert await wait_until(lambda: session.ready, 30)
    broker.fatal = {"bad"}
    async with running(store.list, mqtt_topics="good") as (session, store):
        assert await wait_until(lambda: session.ready, 30)
        assert broker.connections == 1 + 4
    # The next run tries again.
    assert [(entry.filter, entry.subscribed) for entry in store.list.former] == [("bad", True)]


async def test_a_restored_broker_is_unsubscribed_again(broker: Broker) -> None:
    async with running(SubscriptionList(), mqtt_topics="old") as (session, store):
        assert await wait_until(lambda: session.ready, 30)
    async with running(store.list, mqtt_topics="new") as (session, store):
        assert await wait_until(lambda: session.ready, 30)
    broker.session.add("old")
    async with running(store.list, mqtt_topics="new") as (session, _):
        assert await wait_until(lambda: session.ready, 30)
    assert broker.session == {"ven/ack/+", "new"}


async def test_unsubscribes_although_publishers_go_on(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = 0
    async with running(SubscriptionList(), mqtt_topics="old") as (session, store):
        assert await wait_until(lambda: session.ready, 30)

    async def flush(_idle: Idle) -> None:
        nonlocal rounds
        rounds += 1
        connection: Any = None
        asyncio.get_running_loop().call_soon(session._on_message, connection, Message("old"))

    monkeypatch.setattr(Idle, "flush", flush)
    async with running(store.list, mqtt_topics="new") as (session, _):
        assert await wait_until(lambda: session.ready, 30)
    assert rounds == bridge.mqtt.subscriber._MAX_SILENCE_CHECKS + 1
    assert broker.session == {"ven/ack/+", "new"}


async def test_a_refused_echo_is_one_warning_and_ready(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    broker.refused = {"ven/cmd/+"}
    async with running(SubscriptionList(), echo=True, mqtt_topics="x") as (session, _):
        assert await wait_until(lambda: session.ready, 30)
        connection: Any = FakeConnection(broker)
        await session._subscriber.subscribe_to_echo(connection, set())
    assert caplog.text.count("BRIDGE_COMMAND_ECHO") == 1


async def test_a_broker_that_closes_over_the_echo_stops_nothing(
    broker: Broker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe = FakeConnection.subscribe

    async def close(connection: FakeConnection, filters: Sequence[str]) -> list[str]:
        if "ven/cmd/+" in filters:
            raise aiomqtt.MqttError("closed")
        return await subscribe(connection, filters)

    monkeypatch.setattr(FakeConnection, "subscribe", close)
    async with running(SubscriptionList(), echo=True, mqtt_topics="x") as (session, _):
        assert await wait_until(lambda: session.ready, 30)
    assert broker.connections == 1 + 3
    assert "BRIDGE_COMMAND_ECHO" in caplog.text


@pytest.mark.parametrize(
    ("echo", "topics", "subscribed"),
    [
        (True, "x", {"x", "ven/cmd/+"}),
        (True, "ven/#", {"ven/#"}),  # brokers would deliver each command twice
        (True, "ven/cmd/+", {"ven/cmd/+"}),
        (False, "x", {"x"}),
        (False, "ven/cmd/+", {"ven/cmd/+"}),
    ],
)
async def test_the_echo_subscription_follows_its_setting(
    broker: Broker, topics: str, subscribed: set[str], *, echo: bool
) -> None:
    async with running(SubscriptionList(), echo=True, mqtt_topics="ven/cmd/+") as (session, store):
        assert await wait_until(lambda: session.ready, 30)
    async with running(store.list, echo=echo, mqtt_topics=topics) as (session, _):
        assert await wait_until(lambda: session.ready, 30)
    assert broker.session - {"ven/ack/+"} == subscribed
    broker.session.add("ven/cmd/+")
    async with running(SubscriptionList(), echo=echo, mqtt_topics=topics) as (session, _):
        assert await wait_until(lambda: session.ready, 30)
    assert broker.session - {"ven/ack/+"} == subscribed
