"""Waiting between tries: exponential with full jitter, so that a fleet of processes does not return all at once.

Source of the method: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import asyncio
import random

# Of its own: nobody who sets or watches the state of the module's is disturbed by a wait in another thread.
_chance = random.Random()  # noqa: S311 - jitter is no secret


class Backoff:
    """Sleeps between 0 and a bound that doubles with each try, up to `most` seconds."""

    def __init__(self, *, first: float = 0.1, most: float = 10.0) -> None:
        self._first = first
        self._most = most
        self._tries = 0

    def reset(self) -> None:
        """Start again from the first bound: something worked."""
        self._tries = 0

    async def wait(self) -> None:
        """Sleep before the next try."""
        bound = min(self._most, self._first * 2 ** min(self._tries, 32))
        self._tries += 1
        await asyncio.sleep(_chance.uniform(0, bound))
