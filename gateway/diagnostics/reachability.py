"""Whether something listens at an address, and why not, in words."""

import asyncio
import socket

_PATIENCE_S = 5.0


async def connect_error(host: str, port: int) -> str | None:
    """Connect once, and say what the matter is; None where somebody listens."""
    try:
        # In a thread: the event loop's own errors say only "Connect call failed", or "Multiple exceptions".
        await asyncio.to_thread(_connect, host, port)
    except OSError as error:
        return error.strerror or f"no answer within {_PATIENCE_S:.0f} s"
    return None


def _connect(host: str, port: int) -> None:
    with socket.create_connection((host, port), timeout=_PATIENCE_S):
        pass
