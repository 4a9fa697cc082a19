"""Runs the work of a command that Ctrl-C ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from runtime.process import run

T = TypeVar("T")


def run_until_interrupted(work: Callable[[asyncio.Event], Awaitable[T]]) -> T:
    """Run `work` and return its result. Ctrl-C and SIGTERM set the event that it gets."""
    results: list[T] = []

    async def keep_result(stop: asyncio.Event) -> None:
        results.append(await work(stop))

    run("gateway", keep_result, level="WARNING")
    return results[0]
