"""Commands while connections are cut and bridges are killed: an independent subscriber sees none twice."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
import pytest_asyncio

import bridge.downlink.sender
from gateway.stack import LocalStack, Server
from gateway.stack.polling import wait_until
from gateway.stack.ports import reserve_ports
from schemas.records.commands import CommandRecord
from schemas.settings.blocks import KafkaSettings
from schemas.settings.mqtt import MqttSettings
from tests.support.bridges import Bridges
from tests.support.brokers import broker
from tests.support.command_records import event, evidence, publish_commands, shows, witness
from tests.support.proxy import Proxy

__all__ = ["broker"]

WAIT = 60
SEED = int(os.environ.get("FAULT_SEED", "20261124"))
KILLS = 5


@pytest.fixture
def site() -> str:
    """The prefix of this test's VEN ids."""
    return f"ven-{uuid4().hex[:8]}-"


@pytest_asyncio.fixture
async def network(
    broker: Server, stack: LocalStack, tmp_path: Path, pytestconfig: pytest.Config
) -> AsyncIterator[Proxy]:
    """The network between bridge and broker."""
    if broker is not stack.mqtt and not pytestconfig.getoption("--faults-full"):
        pytest.skip("on Artemis with --faults-full")
    proxy = Proxy(reserve_ports(tmp_path / "proxy.json", ["mqtt"])["mqtt"], broker.port)
    await proxy.listen()
    yield proxy
    await proxy.close()


@pytest.fixture
def bridges(network: Proxy, kafka: KafkaSettings, tmp_path: Path) -> Bridges:
    mqtt = MqttSettings(
        mqtt_host="127.0.0.1", mqtt_port=network.port, mqtt_use_tls=False, mqtt_client_id=f"test-{uuid4()}"
    )
    return Bridges(mqtt, kafka, tmp_path, shutdown_timeout=3)


async def states_and_reasons(kafka: KafkaSettings, correlation_id: str) -> list[tuple[str, str | None]]:
    return [(each.state, each.reason) for each in (await evidence(kafka)).get(correlation_id, ())]


async def test_commands_wait_for_the_broker_and_are_sent_once(
    broker: Server, network: Proxy, bridges: Bridges, site: str
) -> None:
    first, waiting, late = event(f"{site}1"), event(f"{site}2"), event(f"{site}3", expires=1)
    async with witness(broker.host, broker.port, site) as seen, bridges.running():
        await publish_commands(bridges.kafka, [first])
        assert await shows(bridges.kafka, [first], "sent")
        await network.cut()
        assert await wait_until(lambda: not_ready(bridges), WAIT)
        await publish_commands(bridges.kafka, [waiting, late])
        await asyncio.sleep(1.5)  # until `late` has expired
        assert set(await evidence(bridges.kafka)) == {first.correlation_id}
        await network.listen()
        assert await shows(bridges.kafka, [waiting], "sent")
        assert await shows(bridges.kafka, [late], "expired")
        assert seen.times == {first.correlation_id: 1, waiting.correlation_id: 1}


async def not_ready(bridges: Bridges) -> bool:
    return not await bridges.ready()


@pytest.mark.parametrize("echo", [True, False])
async def test_commands_without_puback_are_not_sent_again(
    broker: Server, network: Proxy, bridges: Bridges, site: str, *, echo: bool
) -> None:
    bridges.settings["bridge_command_echo"] = echo
    lost, after = [event(f"{site}{number}") for number in range(20)], event(f"{site}x")
    async with witness(broker.host, broker.port, site) as seen, bridges.running():
        network.mute("to_client")  # no PUBACK and no echo
        await publish_commands(bridges.kafka, lost)
        assert await seen.saw(lost)
        await network.cut()
        await network.listen()
        await publish_commands(bridges.kafka, [after])
        assert await shows(bridges.kafka, [after], "sent")
        if echo:
            assert await shows(bridges.kafka, lost, "sent")
        assert set(seen.times.values()) == {1}
    for each in lost:
        expected = [("sending", None), ("sent", "echo")] if echo else [("sending", None)]
        assert await states_and_reasons(bridges.kafka, each.correlation_id) == expected


async def test_no_second_attempt_while_the_first_is_in_flight(
    broker: Server, network: Proxy, bridges: Bridges, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge.downlink.sender, "_PUBACK_TIMEOUT_SECONDS", 0.5)
    first = event(f"{site}1")
    second, last = msgspec.structs.replace(first, attempt=2), event(f"{site}1", "evt-last")
    async with witness(broker.host, broker.port, site) as seen, bridges.running():
        network.mute("to_client")
        await publish_commands(bridges.kafka, [first])
        assert await seen.saw([first])
        await publish_commands(bridges.kafka, [second])

        async def claimed() -> bool:
            return 2 in [each.attempt for each in (await evidence(bridges.kafka)).get(first.correlation_id, ())]

        assert await wait_until(claimed, WAIT, every=0.2)
        await publish_commands(bridges.kafka, [last])
        assert await seen.saw([last])
        await network.cut()
        await network.listen()
        assert await shows(bridges.kafka, [first, last], "sent")
        assert seen.times == {first.correlation_id: 1, last.correlation_id: 1}


async def test_a_stopped_bridge_has_evidence_of_all_it_claimed(broker: Server, bridges: Bridges, site: str) -> None:
    commands = [event(f"{site}{number}") for number in range(3000)]
    bridges.settings["shutdown_timeout"] = WAIT
    async with witness(broker.host, broker.port, site) as seen:
        await publish_commands(bridges.kafka, commands)
        async with bridges.running():
            async with asyncio.timeout(WAIT):
                await seen.more.wait()
        begun = await evidence(bridges.kafka)
        assert {tuple(each.state for each in found) for found in begun.values()} == {("sending", "sent")}
        async with bridges.running():
            assert await seen.saw(commands)
        assert set(seen.times.values()) == {1}


async def test_a_kill_before_the_puback_is_resolved_by_the_echo(
    broker: Server, network: Proxy, bridges: Bridges, stack: LocalStack, site: str
) -> None:
    commands = [event(f"{site}{number}") for number in range(50)]
    async with witness(broker.host, broker.port, site) as seen:
        process = await bridges.process(stack)
        assert await wait_until(bridges.ready, WAIT)
        network.mute("to_client")
        await publish_commands(bridges.kafka, commands)
        assert await seen.saw(commands)
        await process.kill()
        async with bridges.running():
            assert await shows(bridges.kafka, commands, "sent")
            # A second sending would precede this command.
            last = event(f"{site}0", "evt-last")
            await publish_commands(bridges.kafka, [*commands, last])
            assert await seen.saw([last])
        assert set(seen.times.values()) == {1}
    assert await states_and_reasons(bridges.kafka, commands[7].correlation_id) == [("sending", None), ("sent", "echo")]


async def test_kills_at_any_moment_never_send_twice(
    broker: Server, bridges: Bridges, stack: LocalStack, site: str
) -> None:
    moments = random.Random(SEED)
    stop = asyncio.Event()
    commands: list[CommandRecord] = []
    bridges.settings["shutdown_timeout"] = WAIT

    async def stream() -> None:
        while not stop.is_set():
            some = [event(f"{site}{number}", f"evt-{len(commands)}") for number in range(20)]
            commands.extend(some)
            # As a killed dispatcher does: it publishes again what may not have arrived.
            await publish_commands(bridges.kafka, [*some, *moments.sample(commands, 5)])

    async with witness(broker.host, broker.port, site) as seen:
        streaming = asyncio.create_task(stream())
        for _ in range(KILLS):
            process = await bridges.process(stack)
            seen.more.clear()
            async with asyncio.timeout(WAIT):
                await seen.more.wait()
            await asyncio.sleep(moments.uniform(0, 0.5))
            await process.kill()
        stop.set()
        await streaming
        async with bridges.running():
            last = event(f"{site}0", "evt-last")
            await publish_commands(bridges.kafka, [last])
            assert await seen.saw([last], 60)

            async def all_decided() -> bool:
                return {each.correlation_id for each in [*commands, last]} == (await evidence(bridges.kafka)).keys()

            assert await wait_until(all_decided, WAIT, every=0.5)
            # All were sent: what a kill left open was echoed by the broker, or never sent.
            await wait_until(lambda: len(seen.times) == len(commands) + 1, 5)
        assert set(seen.times.values()) == {1}
        found = await evidence(bridges.kafka)
    states = {name: [each.state for each in each_of] for name, each_of in found.items()}
    assert set(states) == {each.correlation_id for each in [*commands, last]}
    assert all(each[0] == "sending" for each in states.values())
    assert all(name in seen.times for name, each in states.items() if "sent" in each)
    # Commands without `sent` were not sent.
    assert {name for name, each in states.items() if "sent" not in each}.isdisjoint(seen.times)
