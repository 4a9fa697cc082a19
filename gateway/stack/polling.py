"""Waits for a condition, with a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable


async def wait_until(condition: Callable[[], bool | Awaitable[bool]], timeout: float, every: float = 0.05) -> bool:  # noqa: ASYNC109 - the deadline is the point
    """Check `condition` repeatedly; return True as soon as it holds, False after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        outcome = condition()
        if outcome if isinstance(outcome, bool) else await outcome:
            return True
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(every)


async def gather_all(works: Iterable[Awaitable[object]]) -> None:
    """Wait until all have ended, even if one fails; then raise the first failure."""
    for outcome in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def port_open(port: int) -> bool:
    """Whether anything accepts connections on this port of the loopback."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
