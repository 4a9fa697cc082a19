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

from api.access.gate import Gate
from api.access.keys import Keys
from api.agreement import Agreement
from api.body_limit import BodyLimit
from api.docs_page import add_docs
from api.energy_today import EnergyToday
from api.erasing import keep_erasing
from api.feed.expelling import keep_expelling
from api.feed.follower import Follower
from api.feed.hub import Hub
from api.headers import REQUEST_ID, ResponseHeaders
from api.lasting import lasting
from api.live_totals import LiveTotals
from api.metrics import Measured, show_metrics
from api.open_buckets import OpenBuckets
from api.openapi import DESCRIPTION, TAGS, DescribedApp, operation_id
from api.page import add_page
from api.pipeline import Pipeline
from api.pools import pools
from api.problems import add_problem_handlers
from api.routers import (
    audit,
    dead_letters,
    event_acks,
    event_figures,
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
    trails,
    ven_acks,
    ven_commands,
    ven_loads,
    ven_summary,
    ven_telemetry,
    vens,
)
from api.unexpected import Unexpected
from runtime.metrics import CONSUMER_LAG, FEED_CLIENTS, LIVE_TOTALS_AGE, NEWEST_READING_AGE
from runtime.supervision import Supervisor
from runtime.traces import TRACES
from schemas.access_settings import AccessSettings, is_loopback
from schemas.plain_yaml import plain_yaml
from schemas.settings import ApiSettings, DatabaseSettings, KafkaSettings, TraceSettings, check_all

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
        check_all(ApiSettings, DatabaseSettings, KafkaSettings, AccessSettings, TraceSettings)
        return cls(
            ApiSettings.load(),
            DatabaseSettings.load(),
            KafkaSettings.load(),
            AccessSettings.load(),
            TraceSettings.load(),
        )


class EitherSlash:
    """Serves a path with a trailing slash as the same path without it, and redirects nobody."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/" and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


def make_app(config: ApiConfig) -> FastAPI:
    """Make the app; it connects when it starts, and starts also while the servers behind it are down."""
    keys = Keys(config.access.api_key_cache_seconds)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with pools(config.database, config.api) as (pool, health_pool, feed_pool):
            app.state.pool = pool
            app.state.health_pool = health_pool
            app.state.settings = config.api
            app.state.open_to_all = config.access.is_open(config.api.api_host) and not is_loopback(config.api.api_host)
            app.state.live_totals = LiveTotals(config.kafka, pool)
            app.state.under_way = OpenBuckets(pool)
            app.state.energy_today = EnergyToday(pool)
            live = app.state.live_totals
            agreement = Agreement(pool, lambda: live.latest, config.api.offline_after_seconds)
            app.state.feed = Hub(config.api.api_feed_window_seconds, config.api.api_feed_queue)
            follower = Follower(app.state.feed, feed_pool, live, app.state.energy_today, config.api)
            app.state.pipeline = Pipeline(config.kafka, feed_pool)
            beside = (
                ("erasing deleted VENs", partial(keep_erasing, pool)),
                ("adding up energy", app.state.energy_today.follow),
                ("comparing totals", agreement.follow),
                ("looking at the pipeline", app.state.pipeline.follow),
                # Not by the connections of requests: those may all be taken.
                ("ending feeds", partial(keep_expelling, app.state.feed, feed_pool, config.access)),
            )
            with (
                # To cancel the lifespan would end nothing: the server looks at what has failed (api/serving.py).
                Supervisor(cancel=False) as app.state.supervisor,
                FEED_CLIENTS.reading(lambda: {(): len(app.state.feed.clients)}),
                CONSUMER_LAG.reading(lambda: app.state.pipeline.lag),
                NEWEST_READING_AGE.reading(app.state.pipeline.newest_reading_age),
                LIVE_TOTALS_AGE.reading(live.age),
                TRACES.exporting(config.traces, "api"),
            ):
                tasks = [asyncio.create_task(live.follow()), asyncio.create_task(follower.follow())]
                tasks += [asyncio.create_task(lasting(what, work)) for what, work in beside]
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
    app.add_middleware(BodyLimit, most=config.api.api_max_body_bytes)
    app.add_middleware(Unexpected)
    app.add_middleware(Gate, settings=config.access, host=config.api.api_host, keys=keys)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=config.access.cors_origins,
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["authorization", "content-type", "idempotency-key", "last-event-id"],
        expose_headers=["link", "location", "retry-after", REQUEST_ID],
    )
    app.add_middleware(ResponseHeaders)
    app.add_middleware(Measured)
    app.add_middleware(EitherSlash)
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
        trails,
        ven_telemetry,
        ven_acks,
        faults,
        shadows,
        history,
        event_figures,
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
