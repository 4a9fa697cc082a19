"""Commands from Kafka to a real MQTT broker: each is sent once, with evidence in the command log."""

import asyncio
from pathlib import Path
from uuid import uuid4

import aiomqtt
import pytest

from gateway.stack import LocalStack
from gateway.stack.polling import wait_until
from schemas.records.topics import COMMANDS
from schemas.settings.blocks import KafkaSettings
from schemas.settings.mqtt import MqttSettings
from tests.support.bridges import Bridges
from tests.support.command_records import event, evidence, publish_commands, restore, shows, witness
from tests.support.kafka_records import read_all
from tests.support.publishing import publish
from tests.support.servers import committed

WAIT = 60


@pytest.fixture
def site() -> str:
    """The prefix of this test's VEN ids."""
    return f"ven-{uuid4().hex[:8]}-"


def client(stack: LocalStack, port: int | None = None) -> MqttSettings:
    return MqttSettings(
        mqtt_host=stack.mqtt_host,
        mqtt_port=port or stack.mqtt_port,
        mqtt_use_tls=False,
        mqtt_client_id=f"test-{uuid4()}",
    )


@pytest.fixture
def bridges(stack: LocalStack, kafka: KafkaSettings, tmp_path: Path) -> Bridges:
    return Bridges(client(stack), kafka, tmp_path)


async def states(kafka: KafkaSettings) -> dict[str, list[str]]:
    return {name: [each.state for each in found] for name, found in (await evidence(kafka)).items()}


async def test_each_command_is_sent_once_with_evidence(stack: LocalStack, bridges: Bridges, site: str) -> None:
    commands = [event(f"{site}{number}") for number in range(1200)]
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen:
        async with bridges.running():
            await publish_commands(bridges.kafka, commands)
            assert await seen.saw(commands)
            assert await shows(bridges.kafka, commands, "sent")
        assert set(seen.times.values()) == {1}
    assert all(found == ["sending", "sent"] for found in (await states(bridges.kafka)).values())
    assert sum((await committed(bridges.kafka, "downlink", bridges.kafka.topics(COMMANDS))).values()) == 1200
    assert seen.messages[0]["op"] == "event"


async def test_a_repeated_command_record_is_not_sent_again(stack: LocalStack, bridges: Bridges, site: str) -> None:
    first, last = event(f"{site}1"), restore(f"{site}1", "evt-other")
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen:
        async with bridges.running():
            await publish_commands(bridges.kafka, [first, first])
            assert await shows(bridges.kafka, [first], "sent")
            await publish_commands(bridges.kafka, [first])
        # Also after a restart.
        async with bridges.running():
            await publish_commands(bridges.kafka, [first, last])
            assert await shows(bridges.kafka, [last], "sent")
        assert seen.times == {first.correlation_id: 1, last.correlation_id: 1}
    assert (await states(bridges.kafka))[first.correlation_id] == ["sending", "sent"]


async def test_late_commands_expire_and_durations_count_down(stack: LocalStack, bridges: Bridges, site: str) -> None:
    late, short, ping = event(f"{site}1", lasts=-1), event(f"{site}2", lasts=100), event(f"{site}3", expires=-1)
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen, bridges.running():
        await publish_commands(bridges.kafka, [late, short, ping])
        assert await shows(bridges.kafka, [late, ping], "expired")
        assert await seen.saw([short])
        assert set(seen.times) == {short.correlation_id}
    (message,) = seen.messages
    assert 60 < message["duration_sec"] <= 100
    assert message["data"]["duration_s"] == message["duration_sec"]
    assert [each.reason for each in (await evidence(bridges.kafka))[late.correlation_id]] == ["late"]


async def test_withdrawn_commands_are_not_sent(stack: LocalStack, bridges: Bridges, site: str) -> None:
    start, end, other = event(f"{site}1"), restore(f"{site}1"), event(f"{site}1", "evt-2")
    # Before the bridge starts, so that one batch has all.
    await publish_commands(bridges.kafka, [start, end, other])
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen, bridges.running():
        assert await seen.saw([other])
        assert await shows(bridges.kafka, [start, end], "expired")
        assert set(seen.times) == {other.correlation_id}
    assert {each.reason for each in (await evidence(bridges.kafka))[end.correlation_id]} == {"withdrawn"}


async def test_malformed_records_become_dead_letters(stack: LocalStack, bridges: Bridges, site: str) -> None:
    malformed = [b"", b"no json", b"[]", b"\xff", b"[" * 100_000, b"{}"]
    good = [event(f"{site}1"), event(f"{site}1", "evt-2")]
    wild = [event(f"{site}+"), event(f"{site}\uffff"), event(f"{site}2", attempt=0), event(f"{site}3", attempt=2**40)]
    large = event(f"{site}4")
    large.payload["data"]["x"] = "x" * 200_000
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen, bridges.running():
        await publish_commands(bridges.kafka, [good[0], *malformed, *wild, large, good[1]], key=f"{site}1".encode())
        assert await seen.saw(good)
        assert await shows(bridges.kafka, [large], "expired")
        assert set(seen.times) == {each.correlation_id for each in good}
        name = bridges.kafka.topics.dead_letters(bridges.kafka.topics(COMMANDS))

        async def all_dead_letters() -> bool:
            return len(await read_all(bridges.kafka, name)) == len(malformed) + len(wild)

        assert await wait_until(all_dead_letters, WAIT, every=0.2)


async def test_foreign_messages_on_command_topics_are_ignored(stack: LocalStack, bridges: Bridges, site: str) -> None:
    command = event(f"{site}1")
    foreign = [b"", b"no json", b'{"correlationId":7}', b'{"correlationId":"evt-unknown"}', b"[" * 100_000, b"\xff"]
    async with witness(stack.mqtt_host, stack.mqtt_port, f"{site}1") as seen, bridges.running():
        await publish(stack.mqtt_host, stack.mqtt_port, [(f"ven/cmd/{site}2", payload) for payload in foreign])
        async with aiomqtt.Client(stack.mqtt_host, stack.mqtt_port) as mqtt:
            await mqtt.publish(f"ven/cmd/{site}2", b"kept", qos=1, retain=True)
            await mqtt.publish(f"ven/cmd/{site}2", b"", qos=1, retain=True)
        await publish_commands(bridges.kafka, [command])
        assert await seen.saw([command])
        assert await shows(bridges.kafka, [command], "sent")
    # An echo is evidence and no message of a VEN.
    assert not await read_all(bridges.kafka, bridges.kafka.topics("ven.raw.other"))
    assert set(await states(bridges.kafka)) == {command.correlation_id}


async def test_echoes_reach_kafka_once_if_the_settings_cover_them(bridges: Bridges, site: str) -> None:
    command = event(f"{site}1")

    async def copies() -> int:
        records = await read_all(bridges.kafka, bridges.kafka.topics("ven.raw.other"))
        return sum(command.correlation_id.encode() in (record.value or b"") for record in records)

    async def copied() -> bool:
        return await copies() > 0

    async with bridges.running(mqtt_topics="ven/#"):
        await publish_commands(bridges.kafka, [command])
        assert await wait_until(copied, WAIT, every=0.2)
        assert await shows(bridges.kafka, [command], "sent")
    assert await copies() == 1


async def test_commands_are_sent_without_the_echo(stack: LocalStack, bridges: Bridges, site: str) -> None:
    first, second = event(f"{site}1"), event(f"{site}2")
    async with bridges.running():
        await publish_commands(bridges.kafka, [first])
        assert await shows(bridges.kafka, [first], "sent")
    bridges.settings["bridge_command_echo"] = False
    async with bridges.running():
        await publish_commands(bridges.kafka, [second])
        assert await shows(bridges.kafka, [second], "sent")
    # The broker queues no echoes for the disconnected bridge any more.
    await publish(stack.mqtt_host, stack.mqtt_port, [(f"ven/cmd/{site}1", b"x")])
    async with bridges.running(mqtt_topic_metering=f"{site}metering"):
        await publish(stack.mqtt_host, stack.mqtt_port, [(f"{site}metering", b"last")])

        async def last() -> bool:
            return bool(await read_all(bridges.kafka, bridges.kafka.topics("ven.raw.metering")))

        assert await wait_until(last, WAIT, every=0.2)
    assert [each.reason for each in (await evidence(bridges.kafka))[second.correlation_id]] == [None, None]


async def test_two_bridges_share_the_commands(
    stack: LocalStack, kafka: KafkaSettings, bridges: Bridges, site: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Bridges(client(stack), kafka, tmp_path / "other")
    commands = [[event(f"{site}{number}", f"evt-{turn}") for number in range(100)] for turn in range(6)]
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen, bridges.running():
        await publish_commands(kafka, commands[0])
        stop = asyncio.Event()
        second = other.task(stop)
        for some in commands[1:3]:
            await publish_commands(kafka, some)
        assert await wait_until(other.ready, WAIT)
        await publish_commands(kafka, commands[3])
        stop.set()
        await publish_commands(kafka, commands[4])
        await second
        await publish_commands(kafka, commands[5])
        every = [command for some in commands for command in some]
        assert await seen.saw(every, 60)
        assert await shows(kafka, every, "sent")
        assert set(seen.times.values()) == {1}
        # Each VEN gets its commands in order.
        mine = [message["event_id"] for message in seen.messages if message["venId"] == f"{site}7"]
        assert mine == [f"evt-{turn}" for turn in range(6)]


async def test_the_command_rate_is_limited(stack: LocalStack, bridges: Bridges, site: str) -> None:
    commands = [event(f"{site}{number}") for number in range(25)]
    bridges.settings["bridge_commands_per_second"] = 10
    loop = asyncio.get_running_loop()
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen, bridges.running():
        begun = loop.time()
        await publish_commands(bridges.kafka, commands)
        assert await seen.saw(commands)
    # Ten at once, then fifteen one after another.
    assert loop.time() - begun >= 1.5
    assert set(seen.times.values()) == {1}
