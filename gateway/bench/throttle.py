"""A machine of a fraction of the speed: our processes run a share of the time, in short slices; servers do not wait.

On one machine no generator offers ten times what the gateway sustains, for it has the same cores. So the gateway is
made slower, openly, instead of the generator faster.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from gateway.local.worker import Worker

SLICE_SECONDS = 0.2
"""About how long processes run and stand together; what they ran too long they stand longer."""


class Throttle:
    """What it came to."""

    def __init__(self) -> None:
        self.running_s = 0.0
        self.standing_s = 0.0

    @property
    def share(self) -> float:
        """The share of the time in which the processes were let run."""
        return self.running_s / max(self.running_s + self.standing_s, 1e-9)


@asynccontextmanager
async def throttled(workers: Iterable[Worker], share: float) -> AsyncIterator[Throttle]:
    """Let processes run for `share` of the time inside, all in the same slices; at 1 they are left alone."""
    some, throttle = list(workers), Throttle()
    holding = asyncio.create_task(_hold(some, share, throttle)) if share < 1 else None
    try:
        yield throttle
    finally:
        if holding is not None:
            holding.cancel()
            await asyncio.wait({holding})
            # Also where it broke off in the middle.
            _send(some, signal.SIGCONT)


async def _hold(workers: list[Worker], share: float, throttle: Throttle) -> None:
    while True:
        continued = time.monotonic()
        _send(workers, signal.SIGCONT)
        await asyncio.sleep(SLICE_SECONDS * share)
        _send(workers, signal.SIGSTOP)
        stopped = time.monotonic()
        throttle.running_s += stopped - continued
        try:
            # A busy machine keeps no time to the millisecond, so this goes by what it came to.
            await asyncio.sleep(max(0.0, throttle.running_s * (1 - share) / share - throttle.standing_s))
        finally:
            # Also of the last time, which may be cut short.
            throttle.standing_s += time.monotonic() - stopped


def _send(workers: list[Worker], signal_number: int) -> None:
    for worker in workers:
        worker.process.signal(signal_number)
