"""Runs a process until SIGTERM or SIGINT, then shuts it down."""

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from runtime.logs import configure_logging
from runtime.process_end import allow_forced_exit, force_exit_after
from schemas.base.errors import GatewayError
from schemas.settings.blocks import Level

logger = logging.getLogger(__name__)

_OBJECTS_BETWEEN_COLLECTIONS = 50_000
_EXIT_SECONDS = 5.0
"""How long threads may delay the exit of a process that has failed."""

Main = Callable[[asyncio.Event], Awaitable[None]]


def run(name: str, main: Main, *, level: Level = "INFO", grace: float | None = None) -> None:
    """Run `main` on uvloop. SIGTERM or SIGINT sets the event that it receives; then it must drain and return.

    After `grace` seconds it is cancelled, because it may be waiting for a server that is down.

    Raises:
        GatewayError: it was cancelled before it had drained.
    """
    # Records are many small objects without cycles that die young. By default, every few hundred new ones start a
    # collection. Imported modules stay, so the collector need not visit them.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 20, 50)
    configure_logging(name, level)

    async def until_signalled() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await _until_stopped(asyncio.ensure_future(main(stop)), stop, grace)

    allow_forced_exit()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(until_signalled())
    except BaseException:
        force_exit_after(_EXIT_SECONDS)
        raise
    logger.info("ended", extra={"action": "process_ended"})


async def _until_stopped(work: "asyncio.Future[None]", stop: asyncio.Event, grace: float | None) -> None:
    stopping = asyncio.ensure_future(stop.wait())
    waiting: set[asyncio.Future[Any]] = {work, stopping}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await asyncio.wait({work}, timeout=grace)
    if not work.done():
        work.cancel()
        await asyncio.wait({work})
        raise GatewayError(
            "stopped before all work was done; unacknowledged messages are redelivered at the next start"
        )
    work.result()
