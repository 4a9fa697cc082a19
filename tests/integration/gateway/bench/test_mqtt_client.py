"""The load generator's own connection, on a real broker: what was acknowledged arrived, and any failure ends it."""

import asyncio
import signal
from contextlib import suppress

import aiomqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.mqtt_client import MqttClient, remaining_length
from schemas.base.errors import GatewayError
from tests.support.mosquitto import Mosquitto, needs_mosquitto

WAIT = 30


async def connected(mosquitto: Mosquitto, client_id: str) -> MqttClient:
    _, link = await asyncio.get_running_loop().create_connection(MqttClient, "127.0.0.1", mosquitto.port)
    await asyncio.wait_for(link.connect(client_id), WAIT)
    return link


@needs_mosquitto
async def test_messages_arrive_once_and_in_order(mosquitto: Mosquitto) -> None:
    # Of lengths that take one, two and three bytes to say.
    sent = [(f"link/{n % 3}", b"%d:" % n + bytes(n % 7 * 40 + (20_000 if n == 9 else 0))) for n in range(3000)]
    accepted: list[int] = []
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as client, asyncio.timeout(WAIT):
        await client.subscribe("link/#", qos=1)
        link = await connected(mosquitto, "link")
        for number, (topic, payload) in enumerate(sent):
            await link.wait_for_capacity()
            link.send(topic, payload, lambda number=number: accepted.append(number))  # type: ignore[misc]
        await link.drain(WAIT)
        assert accepted == list(range(3000))
        messages = client.messages
        arrived = [await anext(messages) for _ in sent]
        link.close()
    assert [(str(message.topic), message.payload) for message in arrived] == sent


@needs_mosquitto
async def test_a_lost_broker_ends_the_client(mosquitto: Mosquitto) -> None:
    link = await connected(mosquitto, "link")
    link.send("link/1", b"1", lambda: None)
    await link.drain(WAIT)
    mosquitto.stop(signal.SIGKILL)
    link.send("link/1", b"2", lambda: None)
    with pytest.raises(GatewayError, match="lost its connection to the MQTT broker"):
        await link.drain(WAIT)


@needs_mosquitto
async def test_a_refused_connection_ends_the_client(mosquitto: Mosquitto) -> None:
    # As a broker answers that knows its user names.
    _, link = await asyncio.get_running_loop().create_connection(MqttClient, "127.0.0.1", mosquitto.port)
    link.data_received(b"\x20\x02\x00\x05")
    with pytest.raises(GatewayError, match="answered 0x20 0x0005"):
        await asyncio.wait_for(link.connect("link"), WAIT)


async def test_waiting_for_a_missing_puback_times_out() -> None:
    held: list[asyncio.StreamWriter] = []

    async def let_in_and_say_no_more(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        await reader.read(100)
        writer.write(b"\x20\x02")
        await writer.drain()
        writer.write(b"\x00\x00")

    async with await asyncio.start_server(let_in_and_say_no_more, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        _, link = await asyncio.get_running_loop().create_connection(MqttClient, "127.0.0.1", port)
        await asyncio.wait_for(link.connect("link"), WAIT)
        link.send("link/1", b"1", lambda: None)
        with pytest.raises(GatewayError, match="no PUBACK for 1 messages"):
            await link.drain(0.1)
        link.close()
        for writer in held:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@given(st.integers(0, 268_435_455))
def test_lengths_are_encoded_as_in_mqtt(length: int) -> None:
    written = remaining_length(length)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(written)) == length
    assert [byte >= 0x80 for byte in written] == [True] * (len(written) - 1) + [False]
