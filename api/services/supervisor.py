"""Work beside the requests that has to go on as long as the process."""

import logging
from collections.abc import Awaitable, Callable

from runtime.backoff import Backoff
from runtime.supervision import vital

logger = logging.getLogger(__name__)


@vital("work beside the requests")
async def supervise(what: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work`, for ever; where it fails by a mistake of ours, say so and begin anew.

    Nobody awaits such a task: figures would stand still with no word of why.
    """
    backoff = Backoff()
    while True:
        try:
            await work()
        except Exception:
            logger.exception("%s failed and begins anew", what, extra={"action": "begun_anew"})
        await backoff.wait()
