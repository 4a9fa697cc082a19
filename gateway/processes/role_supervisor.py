"""`gateway streams` without a role: runs the three roles as processes and restarts those that end."""

import asyncio
import logging
import sys
from contextlib import suppress

from runtime.backoff import Backoff
from streams.config import StreamsConfig
from streams.roles import ROLES, StreamRole

logger = logging.getLogger(__name__)


async def run_all_roles(stop: asyncio.Event) -> None:
    """Run all roles until `stop`, then let each finish its work.

    Raises:
        SettingsError: a setting is missing or wrong; checked here once instead of in each process.
    """
    for role in ROLES:
        StreamsConfig.load(role)
    async with asyncio.TaskGroup() as tasks:
        for role in ROLES:
            tasks.create_task(_keep_running(role, stop))


async def _keep_running(role: StreamRole, stop: asyncio.Event) -> None:
    backoff = Backoff(initial_seconds=0.2, max_seconds=10)
    while not stop.is_set():
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", "streams", role)
        ended, stopped = asyncio.create_task(process.wait()), asyncio.create_task(stop.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if stop.is_set():
            with suppress(ProcessLookupError):
                process.terminate()
            await ended
            return
        logger.warning(
            "%s ended with exit code %s; restarting it", role, process.returncode, extra={"action": "role_restart"}
        )
        await backoff.wait()
