"""The life of one process: run until SIGTERM or SIGINT, then end in order."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from schemas.errors import GatewayError

logger = logging.getLogger(__name__)

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

Main = Callable[[asyncio.Event], Awaitable[None]]


def configure_logging(name: str, level: str = "INFO") -> None:
    """Log to standard error; LOG_LEVEL goes over the level given.

    Raises:
        GatewayError: LOG_LEVEL is no level.
    """
    chosen = os.environ.get("LOG_LEVEL", level).upper()
    if chosen not in LEVELS:
        raise GatewayError(f"LOG_LEVEL is one of {', '.join(LEVELS)}, not {chosen!r}")
    logging.basicConfig(
        stream=sys.stderr,
        level=chosen,
        format=f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s",
    )
    least = logging.getLogger().level
    for chatty in ("faust", "mode", "httpx", "alembic"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, least))
    # It reports each try to connect as an error; what is left waiting says so itself, with what to do.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL if least > logging.DEBUG else least)


def run(name: str, main: Main, *, level: str = "INFO", grace: float | None = None) -> None:
    """Run `main` on uvloop; the event it gets is set by SIGTERM or SIGINT, and then it drains and returns.

    Where it has not within `grace` seconds, it is cancelled: it may be waiting for a server that is away.

    Raises:
        GatewayError: it was cancelled before it was done.
    """
    configure_logging(name, level)

    async def until_signalled() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await _until_stopped(asyncio.ensure_future(main(stop)), stop, grace)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(until_signalled())
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
        raise GatewayError("stopped before it was done; what was not acknowledged comes again at the next start")
    work.result()
