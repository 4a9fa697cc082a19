"""Waiting between tries grows, is bounded, and starts again after a success."""

import asyncio

import pytest

from runtime.backoff import Backoff

# The waits are random; the bounds are so far apart that chance plays no part.
SHORT = 1e-6
LONG = 1e6


async def test_the_wait_never_exceeds_its_bound() -> None:
    backoff = Backoff(initial_seconds=LONG, max_seconds=SHORT)
    async with asyncio.timeout(60):
        for _ in range(100):
            await backoff.wait()


async def test_the_wait_grows_with_every_try() -> None:
    backoff = Backoff(initial_seconds=SHORT, max_seconds=LONG)

    async def wait_often() -> None:
        for _ in range(200):
            await backoff.wait()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wait_often(), 0.2)


async def test_after_a_reset_it_begins_again() -> None:
    backoff = Backoff(initial_seconds=SHORT, max_seconds=LONG)
    async with asyncio.timeout(60):
        for _ in range(200):
            await backoff.wait()
            backoff.reset()


async def test_thousands_of_tries_do_not_overflow() -> None:
    backoff = Backoff(initial_seconds=LONG, max_seconds=0)
    for _ in range(5000):
        await backoff.wait()
