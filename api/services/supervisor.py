"""Background tasks of the process, restarted if they fail."""

import logging
from collections.abc import Awaitable, Callable

from runtime.backoff import Backoff

logger = logging.getLogger(__name__)


async def supervise(task: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` for ever: log an exception and start it again after a pause.

    Nothing awaits such a task and no health check covers it, so without the log entry nobody would know that it
    stopped.
    """
    backoff = Backoff()
    while True:
        try:
            await work()
        except Exception:
            logger.exception("%s failed; it is started again", task, extra={"action": "task_restarted"})
        await backoff.wait()
