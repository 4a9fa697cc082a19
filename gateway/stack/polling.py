"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout: float, every: float = 0.05) -> bool:  # noqa: ASYNC109 - the deadline is the point
    """Look at `condition` again and again; True as soon as it holds, False when `timeout` seconds have passed."""
    deadline = time.monotonic() + timeout
    while True:
        outcome = condition()
        if outcome if isinstance(outcome, bool) else await outcome:
            return True
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(every)


async def all_done(works: Iterable[Awaitable[object]]) -> None:
    """Wait for all of them even when one fails, so that none still goes on afterwards; then raise the first failure."""
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
