"""Asking an MQTT broker whether it answers."""

import asyncio

_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00"  # MQTT 3.1.1, clean session, keep-alive 10 s, no client id
_CONNACK_ACCEPTED = b"\x20\x02\x00\x00"
_DISCONNECT = b"\xe0\x00"


async def mqtt_answers(port: int) -> bool:
    """Whether a broker on this port of the loopback accepts a session."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(_CONNECT)
        async with asyncio.timeout(5):
            reply = await reader.readexactly(len(_CONNACK_ACCEPTED))
        writer.write(_DISCONNECT)
        await writer.drain()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()
    return reply == _CONNACK_ACCEPTED
