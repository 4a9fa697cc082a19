"""Watching rows arrive while something goes wrong: how long was the longest pause?"""

import asyncio
import time
from contextlib import suppress

import asyncpg

from gateway.fleet import Fleet
from runtime.database import connect_options
from schemas.settings.blocks import DatabaseSettings

EVERY_SECONDS = 0.25
COUNT = "SELECT count(*) FROM telemetry_readings WHERE ven_id = ANY ($1)"


class StorageMonitor:
    """Counts the rows of a fleet again and again.

    `longest_pause` (s) is the longest time without a newly committed row while the broker had accepted messages that
    were not stored yet. A database that does not answer has committed nothing.
    """

    def __init__(self, settings: DatabaseSettings, fleet: Fleet) -> None:
        self._settings = settings
        self._fleet = fleet
        self._ven_ids = [fleet.options.ven_id(index) for index in range(fleet.options.vens)]
        self._waiting_since: float | None = None
        self.stored = 0
        self.longest_pause = 0.0

    async def run(self) -> None:
        """Watch until cancelled.

        The clock runs beside the counting: whatever keeps the counting from going on counts as a pause, never as none.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_counting())
            while True:
                self._look()
                await asyncio.sleep(EVERY_SECONDS)

    async def _keep_counting(self) -> None:
        while True:
            with suppress(Exception):
                await self._count_until_it_fails()
            await asyncio.sleep(EVERY_SECONDS)

    async def _count_until_it_fails(self) -> None:
        options = {**connect_options(self._settings, "test-watch"), "timeout": 3, "command_timeout": 5}
        connection = await asyncpg.connect(**options)
        try:
            while True:
                async with asyncio.timeout(8):
                    self._note(await connection.fetchval(COUNT, self._ven_ids))
                await asyncio.sleep(EVERY_SECONDS)
        finally:
            connection.terminate()

    def _note(self, stored: int) -> None:
        if stored > self.stored:
            self.stored = stored
            self._waiting_since = None

    def _look(self) -> None:
        if self._fleet.accepted <= self.stored:
            self._waiting_since = None
            return
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
        self.longest_pause = max(self.longest_pause, time.monotonic() - self._waiting_since)
