"""Slows down our processes: they run for a share of the time, in short slices. The servers are not slowed down.

A generator on the same machine cannot offer ten times the sustained rate, so the gateway is slowed down instead.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from gateway.local.worker import Worker

SLICE_SECONDS = 0.2
"""Length of one slice of running and standing; a slice that ran too long stands longer."""


class Throttle:
    """How long the processes ran and stood."""

    def __init__(self) -> None:
        self.running_s = 0.0
        self.standing_s = 0.0

    @property
    def share(self) -> float:
        """The share of the time in which the processes ran."""
        return self.running_s / max(self.running_s + self.standing_s, 1e-9)


@asynccontextmanager
async def throttled(workers: Iterable[Worker], share: float) -> AsyncIterator[Throttle]:
    """Let the workers run for `share` of the time inside the block, all in the same slices; 1 does nothing."""
    throttled_workers, throttle = list(workers), Throttle()
    alternating = asyncio.create_task(_alternate(throttled_workers, share, throttle)) if share < 1 else None
    try:
        yield throttle
    finally:
        if alternating is not None:
            alternating.cancel()
            await asyncio.wait({alternating})
            # The cancellation may have left them stopped.
            _send(throttled_workers, signal.SIGCONT)


async def _alternate(workers: list[Worker], share: float, throttle: Throttle) -> None:
    while True:
        continued = time.monotonic()
        _send(workers, signal.SIGCONT)
        await asyncio.sleep(SLICE_SECONDS * share)
        _send(workers, signal.SIGSTOP)
        stopped = time.monotonic()
        throttle.running_s += stopped - continued
        try:
            # Sleeps are inexact on a busy machine, so the total times decide.
            await asyncio.sleep(max(0.0, throttle.running_s * (1 - share) / share - throttle.standing_s))
        finally:
            # Count the last slice too, which may be cut short.
            throttle.standing_s += time.monotonic() - stopped


def _send(workers: list[Worker], signal_number: int) -> None:
    for worker in workers:
        worker.process.signal(signal_number)
