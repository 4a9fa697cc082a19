"""Wait times between retries: exponential with full jitter, so that processes do not all retry at once.

Method: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import asyncio
import random

# A generator of its own: waits in one thread do not change the state that another thread reads from `random`.
_random = random.Random()  # noqa: S311 - jitter needs no secure random


class Backoff:
    """Sleeps for a random time below a limit that doubles with each retry, up to `max_seconds`."""

    def __init__(self, *, initial_seconds: float = 0.1, max_seconds: float = 10.0) -> None:
        self._initial_seconds = initial_seconds
        self._max_seconds = max_seconds
        self._retries = 0

    def reset(self) -> None:
        """Start again from the initial limit, after a success."""
        self._retries = 0

    async def wait(self) -> None:
        """Sleep before the next retry."""
        limit = min(self._max_seconds, self._initial_seconds * 2 ** min(self._retries, 32))
        self._retries += 1
        await asyncio.sleep(_random.uniform(0, limit))
