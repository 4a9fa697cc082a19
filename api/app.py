"""The app: its settings, its connections and its routes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth.api_keys import ApiKeyCache
from api.auth.middleware import AuthMiddleware
from api.http.body_limit import BodyLimitMiddleware
from api.http.docs import add_docs
from api.http.headers import REQUEST_ID_HEADER, ResponseHeadersMiddleware
from api.http.metrics import MetricsMiddleware, show_metrics
from api.http.pools import open_pools
from api.http.problems import add_problem_handlers
from api.http.unhandled_errors import UnhandledErrorMiddleware
from api.openapi import DESCRIPTION, TAGS, DescribedApp, operation_id
from api.page import add_page
from api.routers import (
    audit,
    command_history,
    dead_letters,
    event_acks,
    event_metrics,
    events,
    faults,
    feed,
    health,
    history,
    me,
    notices,
    pipeline,
    shadows,
    stats,
    ven_acks,
    ven_commands,
    ven_loads,
    ven_summary,
    ven_telemetry,
    vens,
)
from api.services.energy_today import EnergyToday
from api.services.live_totals import LiveTotals
from api.services.open_buckets import OpenBucketCache
from api.services.pipeline_monitor import PipelineMonitor
from api.services.supervisor import supervise
from api.services.totals_reconciliation import TotalsReconciliation
from api.services.ven_erasure import erase_removed_vens
from api.sse.broadcaster import Broadcaster
from api.sse.change_poller import ChangePoller
from api.sse.session_expiry import watch_sessions
from runtime.metrics import CONSUMER_LAG, FEED_CLIENTS, LIVE_TOTALS_AGE, NEWEST_READING_AGE
from runtime.supervision import Supervisor
from runtime.tracing import TRACING
from schemas.base.plain_yaml import plain_yaml
from schemas.settings.access import AccessSettings, is_loopback
from schemas.settings.blocks import ApiSettings, DatabaseSettings, KafkaSettings, TraceSettings, validate_all

_END_SECONDS = 3.0
"""How long the work beside the requests may take to end."""


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """All that the API is told."""

    api: ApiSettings
    database: DatabaseSettings
    kafka: KafkaSettings
    access: AccessSettings = field(default_factory=AccessSettings)
    traces: TraceSettings = field(default_factory=TraceSettings)

    @classmethod
    def load(cls) -> "ApiConfig":
        """Read it from the environment; raises SettingsError."""
        validate_all(ApiSettings, DatabaseSettings, KafkaSettings, AccessSettings, TraceSettings)
        return cls(
            ApiSettings.load(),
            DatabaseSettings.load(),
            KafkaSettings.load(),
            AccessSettings.load(),
            TraceSettings.load(),
        )


class TrailingSlashMiddleware:
    """Serves a path with a trailing slash as the same path without it, and redirects nobody."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/" and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


def make_app(config: ApiConfig) -> FastAPI:
    """Make the app; it connects when it starts, and starts also while the servers behind it are down."""
    keys = ApiKeyCache(config.access.api_key_cache_seconds)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_pools(config.database, config.api) as (pool, health_pool, feed_pool):
            app.state.pool = pool
            app.state.health_pool = health_pool
            app.state.settings = config.api
            app.state.open_to_all = config.access.is_open(config.api.api_host) and not is_loopback(config.api.api_host)
            app.state.live_totals = LiveTotals(config.kafka, pool)
            app.state.under_way = OpenBucketCache(pool)
            app.state.energy_today = EnergyToday(pool)
            live = app.state.live_totals
            agreement = TotalsReconciliation(pool, lambda: live.latest, config.api.offline_after_seconds)
            app.state.feed = Broadcaster(config.api.api_feed_window_seconds, config.api.api_feed_queue)
            follower = ChangePoller(app.state.feed, feed_pool, live, app.state.energy_today, config.api)
            app.state.pipeline = PipelineMonitor(config.kafka, feed_pool)
            beside = (
                ("erasing deleted VENs", partial(erase_removed_vens, pool)),
                ("adding up energy", app.state.energy_today.follow),
                ("comparing totals", agreement.follow),
                ("looking at the pipeline", app.state.pipeline.follow),
                # Not by the connections of requests: those may all be taken.
                ("ending feeds", partial(watch_sessions, app.state.feed, feed_pool, config.access)),
            )
            with (
                # To cancel the lifespan would end nothing: the server looks at what has failed (api/http/server.py).
                Supervisor(cancel=False) as app.state.supervisor,
                FEED_CLIENTS.reporting(lambda: {(): len(app.state.feed.clients)}),
                CONSUMER_LAG.reporting(lambda: app.state.pipeline.lag),
                NEWEST_READING_AGE.reporting(app.state.pipeline.newest_reading_age),
                LIVE_TOTALS_AGE.reporting(live.age),
                TRACING.exporting(config.traces, "api"),
            ):
                tasks = [asyncio.create_task(live.follow()), asyncio.create_task(follower.follow())]
                tasks += [asyncio.create_task(supervise(what, work)) for what, work in beside]
                yield
            for task in tasks:
                task.cancel()
            # So that what they have open is closed before the loop is.
            await asyncio.wait(tasks, timeout=_END_SECONDS)

    app = DescribedApp(
        title="Grid-Event Gateway",
        version=version("grid-event-gateway"),
        description=DESCRIPTION,
        openapi_tags=[{"name": name, "description": words} for name, words in TAGS.items()],
        generate_unique_id_function=operation_id,
        lifespan=lifespan,
        redirect_slashes=False,
        # Those of FastAPI load from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    add_problem_handlers(app)
    # The last one added is the outermost: what is measured has lost its slash.
    app.add_middleware(BodyLimitMiddleware, most=config.api.api_max_body_bytes)
    app.add_middleware(UnhandledErrorMiddleware)
    app.add_middleware(AuthMiddleware, settings=config.access, host=config.api.api_host, keys=keys)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=config.access.cors_origins,
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["authorization", "content-type", "idempotency-key", "last-event-id"],
        expose_headers=["link", "location", "retry-after", REQUEST_ID_HEADER],
    )
    app.add_middleware(ResponseHeadersMiddleware)
    app.add_middleware(MetricsMiddleware)
    app.add_middleware(TrailingSlashMiddleware)
    # Those with a name of their own before those with an id in its place: `summary`, `current`, `history`.
    for resource in (
        health,
        me,
        audit,
        stats,
        pipeline,
        feed,
        ven_summary,
        vens,
        ven_loads,
        ven_commands,
        command_history,
        ven_telemetry,
        ven_acks,
        faults,
        shadows,
        history,
        event_metrics,
        events,
        event_acks,
        notices,
        dead_letters,
    ):
        app.include_router(resource.router)
    add_docs(app)
    app.add_route("/metrics", show_metrics, include_in_schema=False)
    add_page(app)
    return app


def describe() -> str:
    """Return the description of the API as YAML; no server and no setting is needed."""
    nowhere = ApiConfig(
        ApiSettings.model_construct(),
        DatabaseSettings.model_construct(),
        KafkaSettings.model_construct(),
        AccessSettings.model_construct(),
    )
    return plain_yaml(make_app(nowhere).openapi())
