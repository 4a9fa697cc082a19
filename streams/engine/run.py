"""Runs a Faust app until it is told to stop."""

import asyncio
import logging
from typing import Any

from runtime.supervision import BackgroundTaskError, Supervisor

logger = logging.getLogger(__name__)


async def run_app(app: Any, stop: asyncio.Event, supervisor: Supervisor, shutdown_seconds: float) -> None:
    """Run the app until `stop` is set or it crashes, then stop it within `shutdown_seconds`.

    Raises:
        Exception: the error that crashed the app.
    """
    app.finalize()
    app.loop = asyncio.get_running_loop()
    try:
        await app.start()
        await app.wait(stop.wait())
        # A crash ends the wait without raising.
        if app.crash_reason is not None:
            raise _crash_of(app.crash_reason)
    finally:
        supervisor.stop_watching()
        await _stop(app, shutdown_seconds)


def _crash_of(reason: BaseException) -> BaseException:
    """Return the error to raise: a cancellation would look like a normal end."""
    if not isinstance(reason, asyncio.CancelledError):
        return reason
    return BackgroundTaskError("a task of Faust was cancelled from within; the process ends and must be restarted")


async def _stop(app: Any, shutdown_seconds: float) -> None:
    try:
        async with asyncio.timeout(shutdown_seconds):
            await app.stop()
    except TimeoutError:
        logger.warning(
            "the app did not stop in time; uncommitted records will be redelivered",
            extra={"action": "streams_stop_timeout"},
        )
