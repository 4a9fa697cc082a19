"""The broker resets a connection that has unread messages: the bridge must detect the loss."""

import asyncio
import socket
import struct

import aiomqtt
import pytest
import uvloop

from bridge.mqtt.connection import Connection
from bridge.mqtt.packet_reader import Message
from schemas.settings.mqtt import MqttSettings

CONNACK = b"\x20\x02\x00\x00"
SUBSCRIBE = 0x82
MESSAGES = 50
RESET = struct.pack("ii", 1, 0)


async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept, confirm the subscription, send messages and reset the connection, without a pause."""
    await read_packet(reader)
    writer.write(CONNACK)
    first, body = await read_packet(reader)
    assert first == SUBSCRIBE
    writer.write(b"\x90\x03" + body[:2] + b"\x01")
    await writer.drain()
    for number in range(1, MESSAGES + 1):
        writer.write(b"\x32\x06\x00\x01t" + struct.pack("!H", number) + b"x")
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, length = await reader.readexactly(2)
    return first, await reader.readexactly(length)


async def connect_and_be_reset() -> int:
    received = []

    def receive(connection: Connection, message: Message) -> None:
        received.append(message)
        connection.acknowledge([message])

    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        settings = MqttSettings(mqtt_host="127.0.0.1", mqtt_port=port, mqtt_use_tls=False)
        async with Connection(settings, receive) as connection:
            await connection.subscribe(["t"])
            with pytest.raises(aiomqtt.MqttError):
                await asyncio.wait_for(connection.wait_until_lost(), 60)
    return len(received)


def on_uvloop() -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(connect_and_be_reset())


async def test_a_reset_with_unread_messages_is_detected() -> None:
    # On uvloop, as in the bridge: it stops watching a socket at its first error.
    assert await asyncio.to_thread(on_uvloop) <= MESSAGES
