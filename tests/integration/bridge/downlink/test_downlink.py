"""Commands from the log to a real MQTT broker: each goes out once, and the command log says so."""

import asyncio
from pathlib import Path
from uuid import uuid4

import aiomqtt
import pytest

from gateway.stack import LocalStack
from gateway.stack.polling import until
from schemas.records.topics import COMMANDS
from schemas.settings.blocks import KafkaSettings
from schemas.settings.mqtt import MqttSettings
from tests.support.bridges import Bridges
from tests.support.command_records import event, evidence, hand_over, restore, shows, witness
from tests.support.log import read_all
from tests.support.publishing import publish
from tests.support.servers import committed

WAIT = 60


@pytest.fixture
def site() -> str:
    """How the ids of this test's VENs begin."""
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


async def test_each_command_goes_out_once_with_evidence_of_it(stack: LocalStack, bridges: Bridges, site: str) -> None:
    commands = [event(f"{site}{number}") for number in range(1200)]
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen:
        async with bridges.running():
            await hand_over(bridges.kafka, commands)
            assert await seen.saw(commands)
            assert await shows(bridges.kafka, commands, "sent")
        assert set(seen.times.values()) == {1}
    assert all(found == ["sending", "sent"] for found in (await states(bridges.kafka)).values())
    assert sum((await committed(bridges.kafka, "downlink", bridges.kafka.topics(COMMANDS))).values()) == 1200
    assert seen.messages[0]["op"] == "event"


async def test_the_second_telling_of_the_same_is_not_sent(stack: LocalStack, bridges: Bridges, site: str) -> None:
    first, last = event(f"{site}1"), restore(f"{site}1", "evt-other")
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen:
        async with bridges.running():
            await hand_over(bridges.kafka, [first, first])
            assert await shows(bridges.kafka, [first], "sent")
            await hand_over(bridges.kafka, [first])
        # Nor does a restart forget it, however late it comes.
        async with bridges.running():
            await hand_over(bridges.kafka, [first, last])
            assert await shows(bridges.kafka, [last], "sent")
        assert seen.times == {first.correlation_id: 1, last.correlation_id: 1}
    assert (await states(bridges.kafka))[first.correlation_id] == ["sending", "sent"]


async def test_what_is_too_late_expires_and_durations_are_counted_down(
    stack: LocalStack, bridges: Bridges, site: str
) -> None:
    late, short, ping = event(f"{site}1", lasts=-1), event(f"{site}2", lasts=100), event(f"{site}3", expires=-1)
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen, bridges.running():
        await hand_over(bridges.kafka, [late, short, ping])
        assert await shows(bridges.kafka, [late, ping], "expired")
        assert await seen.saw([short])
        assert set(seen.times) == {short.correlation_id}
    (message,) = seen.messages
    assert 60 < message["duration_sec"] <= 100
    assert message["data"]["duration_s"] == message["duration_sec"]
    assert [each.reason for each in (await evidence(bridges.kafka))[late.correlation_id]] == ["late"]


async def test_what_is_withdrawn_before_it_went_out_never_does(stack: LocalStack, bridges: Bridges, site: str) -> None:
    told, ended, other = event(f"{site}1"), restore(f"{site}1"), event(f"{site}1", "evt-2")
    # The bridge is away, and finds all at once.
    await hand_over(bridges.kafka, [told, ended, other])
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen, bridges.running():
        assert await seen.saw([other])
        assert await shows(bridges.kafka, [told, ended], "expired")
        assert set(seen.times) == {other.correlation_id}
    assert {each.reason for each in (await evidence(bridges.kafka))[ended.correlation_id]} == {"withdrawn"}


async def test_garbage_is_set_apart_and_stops_nothing(stack: LocalStack, bridges: Bridges, site: str) -> None:
    garbage = [b"", b"no json", b"[]", b"\xff", b"[" * 100_000, b"{}"]
    good = [event(f"{site}1"), event(f"{site}1", "evt-2")]
    wild = [event(f"{site}+"), event(f"{site}\uffff"), event(f"{site}2", attempt=0), event(f"{site}3", attempt=2**40)]
    large = event(f"{site}4")
    large.payload["data"]["x"] = "x" * 200_000
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen, bridges.running():
        await hand_over(bridges.kafka, [good[0], *garbage, *wild, large, good[1]], key=f"{site}1".encode())
        assert await seen.saw(good)
        assert await shows(bridges.kafka, [large], "expired")
        assert set(seen.times) == {each.correlation_id for each in good}
        name = bridges.kafka.topics.dead_letters(bridges.kafka.topics(COMMANDS))

        async def all_set_apart() -> bool:
            return len(await read_all(bridges.kafka, name)) == len(garbage) + len(wild)

        assert await until(all_set_apart, WAIT, every=0.2)


async def test_strangers_on_command_topics_are_passed_over(stack: LocalStack, bridges: Bridges, site: str) -> None:
    command = event(f"{site}1")
    strange = [b"", b"no json", b'{"correlationId":7}', b'{"correlationId":"evt-unknown"}', b"[" * 100_000, b"\xff"]
    async with witness(stack.mqtt_host, stack.mqtt_port, f"{site}1") as seen, bridges.running():
        await publish(stack.mqtt_host, stack.mqtt_port, [(f"ven/cmd/{site}2", payload) for payload in strange])
        async with aiomqtt.Client(stack.mqtt_host, stack.mqtt_port) as mqtt:
            await mqtt.publish(f"ven/cmd/{site}2", b"kept", qos=1, retain=True)
            await mqtt.publish(f"ven/cmd/{site}2", b"", qos=1, retain=True)
        await hand_over(bridges.kafka, [command])
        assert await seen.saw([command])
        assert await shows(bridges.kafka, [command], "sent")
    # What comes back is evidence and no message of a VEN.
    assert not await read_all(bridges.kafka, bridges.kafka.topics("ven.raw.other"))
    assert set(await states(bridges.kafka)) == {command.correlation_id}


async def test_where_the_settings_cover_the_commands_they_are_in_the_log_too_and_once(
    bridges: Bridges, site: str
) -> None:
    command = event(f"{site}1")

    async def copies() -> int:
        records = await read_all(bridges.kafka, bridges.kafka.topics("ven.raw.other"))
        return sum(command.correlation_id.encode() in (record.value or b"") for record in records)

    async def copied() -> bool:
        return await copies() > 0

    async with bridges.running(mqtt_topics="ven/#"):
        await hand_over(bridges.kafka, [command])
        assert await until(copied, WAIT, every=0.2)
        assert await shows(bridges.kafka, [command], "sent")
    assert await copies() == 1


async def test_without_the_echo_commands_are_sent_all_the_same(stack: LocalStack, bridges: Bridges, site: str) -> None:
    first, second = event(f"{site}1"), event(f"{site}2")
    async with bridges.running():
        await hand_over(bridges.kafka, [first])
        assert await shows(bridges.kafka, [first], "sent")
    bridges.settings["bridge_command_echo"] = False
    async with bridges.running():
        await hand_over(bridges.kafka, [second])
        assert await shows(bridges.kafka, [second], "sent")
    # The broker keeps none for the absent bridge any more.
    await publish(stack.mqtt_host, stack.mqtt_port, [(f"ven/cmd/{site}1", b"x")])
    async with bridges.running(mqtt_topic_metering=f"{site}metering"):
        await publish(stack.mqtt_host, stack.mqtt_port, [(f"{site}metering", b"last")])

        async def last() -> bool:
            return bool(await read_all(bridges.kafka, bridges.kafka.topics("ven.raw.metering")))

        assert await until(last, WAIT, every=0.2)
    assert [each.reason for each in (await evidence(bridges.kafka))[second.correlation_id]] == [None, None]


async def test_two_bridges_share_the_commands(
    stack: LocalStack, kafka: KafkaSettings, bridges: Bridges, site: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Bridges(client(stack), kafka, tmp_path / "other")
    commands = [[event(f"{site}{number}", f"evt-{turn}") for number in range(100)] for turn in range(6)]
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen, bridges.running():
        await hand_over(kafka, commands[0])
        stop = asyncio.Event()
        second = other.task(stop)
        for some in commands[1:3]:
            await hand_over(kafka, some)
        assert await until(other.ready, WAIT)
        await hand_over(kafka, commands[3])
        stop.set()
        await hand_over(kafka, commands[4])
        await second
        await hand_over(kafka, commands[5])
        every = [command for some in commands for command in some]
        assert await seen.saw(every, 60)
        assert await shows(kafka, every, "sent")
        assert set(seen.times.values()) == {1}
        # Each VEN gets its commands in their order.
        mine = [message["event_id"] for message in seen.messages if message["venId"] == f"{site}7"]
        assert mine == [f"evt-{turn}" for turn in range(6)]


async def test_no_more_commands_a_second_than_the_broker_allows(stack: LocalStack, bridges: Bridges, site: str) -> None:
    commands = [event(f"{site}{number}") for number in range(25)]
    bridges.settings["bridge_commands_per_second"] = 10
    loop = asyncio.get_running_loop()
    async with witness(stack.mqtt_host, stack.mqtt_port, site) as seen, bridges.running():
        begun = loop.time()
        await hand_over(bridges.kafka, commands)
        assert await seen.saw(commands)
    # Ten at once, and the other fifteen one after another.
    assert loop.time() - begun >= 1.5
    assert set(seen.times.values()) == {1}
