"""The life of one process: run until SIGTERM or SIGINT, then end in order."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import uvloop

logger = logging.getLogger(__name__)

Main = Callable[[asyncio.Event], Awaitable[None]]


def configure_logging(name: str, level: str = "INFO") -> None:
    """Log to standard error; LOG_LEVEL goes over the level given."""
    logging.basicConfig(
        stream=sys.stderr,
        level=os.environ.get("LOG_LEVEL", level).upper(),
        format=f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s",
    )
    for chatty in ("faust", "mode", "aiokafka", "httpx", "alembic"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))


def run(name: str, main: Main, *, level: str = "INFO") -> None:
    """Run `main` on uvloop; the event it gets is set by SIGTERM or SIGINT, and then it drains and returns."""
    configure_logging(name, level)

    async def until_signalled() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await main(stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(until_signalled())
    logger.info("ended", extra={"action": "process_ended"})
