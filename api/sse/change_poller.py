"""Polls for changes, once for all clients of the process."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from api.queries.feed import fetch_now
from api.services.energy_today import EnergyToday
from api.services.live_totals import LiveTotals
from api.sse.broadcaster import Broadcaster
from api.sse.commands import CommandPoller
from api.sse.dead_letters import DeadLetterPoller
from api.sse.events import EventPoller
from api.sse.totals import TotalsPoller
from api.sse.vens import VenPoller
from runtime.backoff import Backoff
from runtime.database import DATABASE_ERRORS, Pool
from runtime.supervision import vital
from schemas.settings.blocks import ApiSettings

logger = logging.getLogger(__name__)

MAX_LOAD = 0.2
"""The largest share of time that a poll may take: if polls take long for a large fleet, they become less frequent."""


class _Poll(NamedTuple):
    what: str
    poll: Callable[[], Awaitable[None]]
    every_seconds: float


class ChangePoller:
    """Polls totals, events, commands, VENs and dead letters, and publishes the changes."""

    def __init__(
        self, broadcaster: Broadcaster, pool: Pool, totals: LiveTotals, energy: EnergyToday, settings: ApiSettings
    ) -> None:
        self._broadcaster = broadcaster
        self._pool = pool
        self._totals = totals
        self._energy = energy
        self._settings = settings

    @vital("the feed")
    async def run(self) -> None:
        """Poll for ever. If a server is down, its poll is retried and the others continue."""
        totals = TotalsPoller(self._broadcaster, self._totals, self._energy)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_heartbeats())
            tasks.create_task(_repeat(_Poll("totals", totals.poll, 0.1)))
            tasks.create_task(self._poll_database())

    @vital("the heartbeat of the feed")
    async def _send_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._settings.api_feed_heartbeat_seconds)
            self._broadcaster.send_heartbeat()

    @vital("the feed of changes")
    async def _poll_database(self) -> None:
        since = await self._start_time()
        broadcaster, pool = self._broadcaster, self._pool
        async with asyncio.TaskGroup() as tasks:
            for poll in (
                _Poll("events", EventPoller(broadcaster, pool, self._settings.energy_hold_seconds).poll, 1.0),
                _Poll("commands", CommandPoller(broadcaster, pool, since).poll, 0.5),
                _Poll("VENs", VenPoller(broadcaster, pool, self._settings.offline_after_seconds).poll, 1.0),
                _Poll("dead letters", DeadLetterPoller(broadcaster, pool, since).poll, 1.0),
            ):
                tasks.create_task(_repeat(poll))

    async def _start_time(self) -> datetime:
        """Return the time from which on changes are published: before this process, for clients that reconnect."""
        backoff = Backoff()
        while True:
            try:
                now = await fetch_now(self._pool)
            except DATABASE_ERRORS:
                await backoff.wait()
            else:
                return now - timedelta(seconds=self._settings.api_feed_window_seconds)


@vital("a part of the feed")
async def _repeat(poll: _Poll) -> None:
    backoff = Backoff(initial_seconds=poll.every_seconds)
    failing = False
    while True:
        started = time.monotonic()
        try:
            await poll.poll()
        except DATABASE_ERRORS as error:
            if not failing:
                logger.warning(
                    "the live feed cannot poll %s: %s; retrying", poll.what, error, extra={"action": "feed_lost"}
                )
            failing = True
            await backoff.wait()
            continue
        except Exception:
            # A bug that concerns one row must not silently end the feed for all clients.
            logger.exception("the live feed cannot poll %s; retrying", poll.what, extra={"action": "feed_failed"})
            await backoff.wait()
            continue
        failing = False
        backoff.reset()
        took = time.monotonic() - started
        await asyncio.sleep(max(poll.every_seconds - took, took / MAX_LOAD - took))
