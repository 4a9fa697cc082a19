"""What looks for changes: one follower a process, whoever listens and however many."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from api.energy_today import EnergyToday
from api.feed.commands import CommandChanges
from api.feed.events import EventChanges
from api.feed.hub import Hub
from api.feed.letters import LetterChanges
from api.feed.totals import TotalsChanges
from api.feed.vens import VenChanges
from api.live_totals import LiveTotals
from api.problems import OUTAGES
from api.queries.feed import fetch_now
from runtime.backoff import Backoff
from runtime.database import Pool
from runtime.supervision import vital
from schemas.settings import ApiSettings

logger = logging.getLogger(__name__)

SHARE = 0.2
"""What a look takes of the time, at most: where a fleet is so large that it takes long, there are fewer looks."""


class _Look(NamedTuple):
    what: str
    at_it: Callable[[], Awaitable[None]]
    every_seconds: float


class Follower:
    """Looks for what changed, and hands it to the hub."""

    def __init__(self, hub: Hub, pool: Pool, totals: LiveTotals, energy: EnergyToday, settings: ApiSettings) -> None:
        self._hub = hub
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
                _keep_looking(_Look("totals", TotalsChanges(self._hub, self._totals, self._energy).look, 0.1))
            )
            tasks.create_task(self._follow_database())

    @vital("the heartbeat of the feed")
    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.api_feed_heartbeat_seconds)
            self._hub.beat()

    @vital("the feed of changes")
    async def _follow_database(self) -> None:
        since = await self._begin()
        offline_after = self._settings.offline_after_seconds
        async with asyncio.TaskGroup() as tasks:
            for look in (
                _Look("events", EventChanges(self._hub, self._pool).look, 1.0),
                _Look("commands", CommandChanges(self._hub, self._pool, since).look, 0.5),
                _Look("VENs", VenChanges(self._hub, self._pool, offline_after).look, 1.0),
                _Look("dead letters", LetterChanges(self._hub, self._pool, since).look, 1.0),
            ):
                tasks.create_task(_keep_looking(look))

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
async def _keep_looking(look: _Look) -> None:
    backoff = Backoff(first=look.every_seconds)
    fails = False
    while True:
        begun = time.monotonic()
        try:
            await look.at_it()
        except (*OUTAGES, asyncpg.PostgresError) as error:
            if not fails:
                logger.warning("the feed has no %s: %s", look.what, error, extra={"action": "feed_lost"})
            fails = True
            await backoff.wait()
            continue
        except Exception:
            # A mistake of ours about one row must not end the feed for everybody, heartbeats and all, without a word.
            logger.exception("the feed has no %s", look.what, extra={"action": "feed_failed"})
            await backoff.wait()
            continue
        fails = False
        backoff.reset()
        took = time.monotonic() - begun
        await asyncio.sleep(max(look.every_seconds - took, took / SHARE - took))
