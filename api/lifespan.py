"""What runs while the app does: connections, caches and background tasks, all in `app.state`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from api.config import ApiConfig
from api.http.pools import open_pools
from api.services.energy_today import EnergyToday
from api.services.live_totals import LiveTotals
from api.services.open_buckets import OpenBucketCache
from api.services.pipeline_monitor import PipelineMonitor
from api.services.task_restarter import supervise
from api.services.totals_reconciliation import TotalsReconciliation
from api.services.ven_erasure import erase_removed_vens
from api.sse.broadcaster import Broadcaster
from api.sse.change_poller import ChangePoller
from api.sse.session_expiry import watch_sessions
from runtime.metrics import CONSUMER_LAG, FEED_CLIENTS, LIVE_TOTALS_AGE, NEWEST_READING_AGE
from runtime.supervision import Supervisor
from runtime.tracing import TRACING
from schemas.settings.access import is_loopback

_STOP_SECONDS = 3.0
"""How long background tasks may take to stop."""


@asynccontextmanager
async def lifespan(config: ApiConfig, app: FastAPI) -> AsyncIterator[None]:
    """Start everything, also while the database or Kafka is down; stop it at the end."""
    state = app.state
    async with open_pools(config.database, config.api) as (pool, health_pool, feed_pool):
        state.pool = pool
        state.health_pool = health_pool
        state.settings = config.api
        state.open_to_all = config.access.is_open(config.api.api_host) and not is_loopback(config.api.api_host)
        state.live_totals = live = LiveTotals(config.kafka, pool)
        state.open_buckets = OpenBucketCache(pool)
        state.energy_today = energy = EnergyToday(pool)
        state.feed = feed = Broadcaster(config.api.api_feed_window_seconds, config.api.api_feed_queue)
        state.pipeline = pipeline = PipelineMonitor(config.kafka, feed_pool)
        reconciliation = TotalsReconciliation(pool, lambda: live.latest, config.api.offline_after_seconds)
        poller = ChangePoller(feed, feed_pool, live, energy, config.api)
        supervised = (
            ("the erasure of deleted VENs", partial(erase_removed_vens, pool)),
            ("the sum of today's energy", energy.run),
            ("the reconciliation of live totals", reconciliation.run),
            ("the pipeline monitor", pipeline.run),
            # On the feed's pool: requests may take all connections of theirs.
            ("the expiry of feed sessions", partial(watch_sessions, feed, feed_pool, config.access)),
        )
        with (
            # Cancelling the lifespan would not stop the server, so the server polls `failure` (api/http/server.py).
            Supervisor(cancel=False) as state.supervisor,
            FEED_CLIENTS.reporting(lambda: {(): len(feed.clients)}),
            CONSUMER_LAG.reporting(lambda: pipeline.lag),
            NEWEST_READING_AGE.reporting(pipeline.newest_reading_age),
            LIVE_TOTALS_AGE.reporting(live.age),
            TRACING.exporting(config.traces, "api"),
        ):
            tasks = [asyncio.create_task(live.run()), asyncio.create_task(poller.run())]
            tasks += [asyncio.create_task(supervise(task, work)) for task, work in supervised]
            yield
        for task in tasks:
            task.cancel()
        # Their connections must be closed before the event loop is.
        await asyncio.wait(tasks, timeout=_STOP_SECONDS)
