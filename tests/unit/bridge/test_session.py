"""What the session asks the broker for, where a real broker cannot be made to refuse: a stand-in for the connection."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import aiomqtt
import pytest

import bridge.session
from bridge.mqtt.packet_reader import Message
from bridge.session import Session
from gateway.stack.polling import until
from schemas.mqtt.subscriptions import SubscriptionList
from schemas.settings.mqtt import MqttSettings, MqttTopicSettings

OFF = {f"mqtt_topic_{name}": "" for name in ("metering", "status", "events", "responses", "shadow")}


class Broker:
    """Keeps one session; refuses some filters, and closes the connection over the end of others."""

    def __init__(self) -> None:
        self.session: set[str] = set()
        self.refused: set[str] = set()
        self.hated: set[str] = set()
        self.connections = 0


class Line:
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
        if self._broker.hated.intersection(filters):
            raise aiomqtt.MqttError("closed")
        self._broker.session -= set(filters)

    async def lost(self) -> None:
        await asyncio.Event().wait()


class Remembering:
    """A list that no log holds; what was written, in order."""

    def __init__(self, before: SubscriptionList) -> None:
        self.list = before

    async def write(self, changed: SubscriptionList) -> None:
        self.list = changed


class Idle:
    """Ways up and down with nothing under way."""

    def use(self, connection: Any) -> None:
        pass

    def take(self, connection: Any, message: Message) -> None:
        pass

    async def caught_up(self) -> None:
        pass

    def hold(self, connection: Any, message: Message, note: Any) -> None:
        pass

    def lose(self) -> None:
        pass


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(bridge.session, "Connection", lambda *_: Line(broker))
    monkeypatch.setattr(bridge.session, "_SILENCE_SECONDS", 0)
    return broker


@asynccontextmanager
async def running(
    before: SubscriptionList, *, listens: bool = False, **topics: str
) -> AsyncIterator[tuple[Session, Remembering]]:
    routes = MqttTopicSettings.load(**OFF | topics).routes
    remembering = Remembering(before.under(routes).subscribing(routes.filters))
    mqtt = MqttSettings(mqtt_host="nowhere", mqtt_port=1, mqtt_use_tls=False)
    idle: Any = Idle()
    session = Session(mqtt, routes, idle, remembering, idle, idle, listens=listens)  # type: ignore[arg-type]
    task = asyncio.create_task(session.run())
    try:
        yield session, remembering
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_where_a_wide_filter_is_refused_the_narrower_ones_are_asked_for(broker: Broker) -> None:
    settings = {"mqtt_topic_metering": "site/#", "mqtt_topics": "site/+,site/a"}
    broker.session = {"ven/ack/+", "site/a", "site/+"}
    broker.refused = {"site/#"}
    async with running(SubscriptionList(), listens=False, **settings) as (session, remembering):
        assert await until(lambda: "site/a" not in broker.session, 30)
        assert broker.session == {"ven/ack/+", "site/+"}
        assert not session.ready
        held = {entry.filter: entry.subscribed for entry in remembering.list.filters}
        assert held == {"site/#": True, "ven/ack/+": True, "site/+": True, "site/a": False}
    broker.refused = set()
    async with running(remembering.list, listens=False, **settings) as (session, remembering):
        assert await until(lambda: session.ready, 30)
        assert broker.session == {"ven/ack/+", "site/#"}


async def test_a_filter_whose_end_the_broker_cannot_bear_stops_nothing(broker: Broker) -> None:
    async with running(SubscriptionList(), mqtt_topics="bad") as (session, remembering):
        assert await until(lambda: session.ready, 30)
    broker.hated = {"bad"}
    async with running(remembering.list, mqtt_topics="good") as (session, remembering):
        assert await until(lambda: session.ready, 30)
        assert broker.connections == 1 + 4
    # It is not forgotten: the next run tries again.
    assert [(entry.filter, entry.subscribed) for entry in remembering.list.former] == [("bad", True)]


async def test_a_broker_that_was_restored_is_told_again(broker: Broker) -> None:
    async with running(SubscriptionList(), mqtt_topics="old") as (session, remembering):
        assert await until(lambda: session.ready, 30)
    async with running(remembering.list, mqtt_topics="new") as (session, remembering):
        assert await until(lambda: session.ready, 30)
    broker.session.add("old")
    async with running(remembering.list, mqtt_topics="new") as (session, _):
        assert await until(lambda: session.ready, 30)
    assert broker.session == {"ven/ack/+", "new"}


async def test_publishers_that_go_on_under_a_filter_that_left_do_not_keep_it(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = 0
    async with running(SubscriptionList(), mqtt_topics="old") as (session, remembering):
        assert await until(lambda: session.ready, 30)
    async with running(remembering.list, mqtt_topics="new") as (session, _):

        async def caught_up(_idle: Idle) -> None:
            nonlocal rounds
            rounds += 1
            line: Any = None
            asyncio.get_running_loop().call_soon(session._take, line, Message("old"))

        monkeypatch.setattr(Idle, "caught_up", caught_up)
        assert await until(lambda: session.ready, 30)
    assert rounds == bridge.session._MOST_LISTENING + 1
    assert broker.session == {"ven/ack/+", "new"}


async def test_a_broker_that_refuses_the_echo_gets_one_warning_and_a_bridge_that_is_ready(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.refused = {"ven/cmd/+"}
    async with running(SubscriptionList(), listens=True, mqtt_topics="x") as (session, _):
        assert await until(lambda: session.ready, 30)
        line: Any = Line(broker)
        await session._listen(line, set())
    assert caplog.text.count("BRIDGE_COMMAND_ECHO") == 1


async def test_a_broker_that_closes_the_connection_over_the_echo_loses_no_messages_of_vens(
    broker: Broker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe = Line.subscribe

    async def close(line: Line, filters: Sequence[str]) -> list[str]:
        if "ven/cmd/+" in filters:
            raise aiomqtt.MqttError("closed")
        return await subscribe(line, filters)

    monkeypatch.setattr(Line, "subscribe", close)
    async with running(SubscriptionList(), listens=True, mqtt_topics="x") as (session, _):
        assert await until(lambda: session.ready, 30)
    assert broker.connections == 1 + 3
    assert "BRIDGE_COMMAND_ECHO" in caplog.text


@pytest.mark.parametrize(
    ("listens", "topics", "subscribed"),
    [
        (True, "x", {"x", "ven/cmd/+"}),
        (True, "ven/#", {"ven/#"}),  # brokers would deliver each command twice
        (True, "ven/cmd/+", {"ven/cmd/+"}),
        (False, "x", {"x"}),
        (False, "ven/cmd/+", {"ven/cmd/+"}),
    ],
)
async def test_the_echo_comes_and_goes_with_its_setting(
    broker: Broker, topics: str, subscribed: set[str], *, listens: bool
) -> None:
    async with running(SubscriptionList(), listens=True, mqtt_topics="ven/cmd/+") as (session, remembering):
        assert await until(lambda: session.ready, 30)
    async with running(remembering.list, listens=listens, mqtt_topics=topics) as (session, _):
        assert await until(lambda: session.ready, 30)
    assert broker.session - {"ven/ack/+"} == subscribed
    broker.session.add("ven/cmd/+")
    async with running(SubscriptionList(), listens=listens, mqtt_topics=topics) as (session, _):
        assert await until(lambda: session.ready, 30)
    assert broker.session - {"ven/ack/+"} == subscribed
