"""Watching rows arrive while something goes wrong: how long was the longest pause?"""

import asyncio
import time
from contextlib import suppress

import asyncpg

from gateway.fleet import Fleet
from runtime.database import Connection, connect_options
from schemas.settings import DatabaseSettings

EVERY_SECONDS = 0.25
COUNT = "SELECT count(*) FROM telemetry_readings WHERE ven_id = ANY ($1)"


class Watch:
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
        """Watch until cancelled."""
        connection: Connection | None = None
        try:
            while True:
                with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    if connection is None or connection.is_closed():
                        options = {**connect_options(self._settings, "test-watch"), "timeout": 3, "command_timeout": 5}
                        connection = await asyncpg.connect(**options)
                    self._note(await connection.fetchval(COUNT, self._ven_ids))
                self._look()
                await asyncio.sleep(EVERY_SECONDS)
        finally:
            if connection is not None:
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
