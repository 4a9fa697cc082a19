"""Background tasks of the process, restarted if they fail."""

import logging
from collections.abc import Awaitable, Callable

from runtime.backoff import Backoff
from runtime.supervision import vital

logger = logging.getLogger(__name__)


@vital("a supervised background task")
async def supervise(task: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` for ever: log an exception and start it again after a pause.

    Nothing awaits such a task, so without the log entry nobody would know that it failed.
    """
    backoff = Backoff()
    while True:
        try:
            await work()
        except Exception:
            logger.exception("%s failed; it is started again", task, extra={"action": "task_restarted"})
        await backoff.wait()
