"""Checks whether something listens at an address."""

import asyncio
import socket

_TIMEOUT_S = 5.0


async def connect_error(host: str, port: int) -> str | None:
    """Connect once; return the error in words, or None if something listens."""
    try:
        # In a thread, because the event loop's errors only say "Connect call failed" or "Multiple exceptions".
        await asyncio.to_thread(_connect, host, port)
    except OSError as error:
        return error.strerror or f"no answer within {_TIMEOUT_S:.0f} s"
    return None


def _connect(host: str, port: int) -> None:
    with socket.create_connection((host, port), timeout=_TIMEOUT_S):
        pass
