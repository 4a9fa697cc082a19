"""What looks for changes: one follower a process, whoever listens and however many."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from api.http.problems import OUTAGES
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
from runtime.database import Pool
from runtime.supervision import vital
from schemas.settings.blocks import ApiSettings

logger = logging.getLogger(__name__)

SHARE = 0.2
"""What a look takes of the time, at most: where a fleet is so large that it takes long, there are fewer looks."""


class _Look(NamedTuple):
    what: str
    at_it: Callable[[], Awaitable[None]]
    every_seconds: float


class ChangePoller:
    """Looks for what changed, and hands it to the hub."""

    def __init__(
        self, broadcaster: Broadcaster, pool: Pool, totals: LiveTotals, energy: EnergyToday, settings: ApiSettings
    ) -> None:
        self._broadcaster = broadcaster
        self._pool = pool
        self._totals = totals
        self._energy = energy
        self._settings = settings

    @vital("the feed")
    async def follow(self) -> None:
        """Follow all there is, for ever. What is away is asked again, and meanwhile the rest goes on."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._beat())
            tasks.create_task(
                _keep_looking(_Look("totals", TotalsPoller(self._broadcaster, self._totals, self._energy).poll, 0.1))
            )
            tasks.create_task(self._follow_database())

    @vital("the heartbeat of the feed")
    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.api_feed_heartbeat_seconds)
            self._broadcaster.beat()

    @vital("the feed of changes")
    async def _follow_database(self) -> None:
        since = await self._begin()
        offline_after = self._settings.offline_after_seconds
        async with asyncio.TaskGroup() as tasks:
            for poll in (
                _Look("events", EventPoller(self._broadcaster, self._pool).poll, 1.0),
                _Look("commands", CommandPoller(self._broadcaster, self._pool, since).poll, 0.5),
                _Look("VENs", VenPoller(self._broadcaster, self._pool, offline_after).poll, 1.0),
                _Look("dead letters", DeadLetterPoller(self._broadcaster, self._pool, since).poll, 1.0),
            ):
                tasks.create_task(_keep_looking(poll))

    async def _begin(self) -> datetime:
        """Return from when on changes are told: from before this process, for those who were there then."""
        backoff = Backoff()
        while True:
            try:
                now = await fetch_now(self._pool)
            except (*OUTAGES, asyncpg.PostgresError):
                await backoff.wait()
            else:
                return now - timedelta(seconds=self._settings.api_feed_window_seconds)


@vital("a part of the feed")
async def _keep_looking(poll: _Look) -> None:
    backoff = Backoff(initial_seconds=poll.every_seconds)
    fails = False
    while True:
        begun = time.monotonic()
        try:
            await poll.at_it()
        except (*OUTAGES, asyncpg.PostgresError) as error:
            if not fails:
                logger.warning("the feed has no %s: %s", poll.what, error, extra={"action": "feed_lost"})
            fails = True
            await backoff.wait()
            continue
        except Exception:
            # A mistake of ours about one row must not end the feed for everybody, heartbeats and all, without a word.
            logger.exception("the feed has no %s", poll.what, extra={"action": "feed_failed"})
            await backoff.wait()
            continue
        fails = False
        backoff.reset()
        took = time.monotonic() - begun
        await asyncio.sleep(max(poll.every_seconds - took, took / SHARE - took))
