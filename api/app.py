"""The FastAPI app: middleware, routes and pages."""

from functools import partial
from importlib.metadata import version

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from api.auth.api_keys import ApiKeyCache
from api.auth.middleware import AuthMiddleware
from api.config import ApiConfig
from api.http.body_limit import BodyLimitMiddleware
from api.http.docs import add_docs
from api.http.head import HeadMiddleware
from api.http.headers import REQUEST_ID_HEADER, ResponseHeadersMiddleware
from api.http.metrics import MetricsMiddleware, show_metrics
from api.http.problems import add_problem_handlers
from api.http.strict_request import check_request
from api.http.trailing_slash import TrailingSlashMiddleware
from api.http.unhandled_errors import UnhandledErrorMiddleware
from api.lifespan import lifespan
from api.openapi.app import DescribedApp, operation_id
from api.openapi.texts import DESCRIPTION, TAGS
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
from schemas.base.plain_yaml import plain_yaml
from schemas.settings.access import AccessSettings
from schemas.settings.blocks import ApiSettings, DatabaseSettings, KafkaSettings

# Fixed names come before an id in the same place of the path: `summary`, `current`, `history`.
_RESOURCES = (
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
)


def make_app(config: ApiConfig) -> FastAPI:
    """Return the app. It connects to servers when it starts, not before."""
    app = DescribedApp(
        title="Grid-Event Gateway",
        version=version("grid-event-gateway"),
        description=DESCRIPTION,
        openapi_tags=[{"name": name, "description": description} for name, description in TAGS.items()],
        generate_unique_id_function=operation_id,
        dependencies=[Depends(check_request)],
        lifespan=partial(lifespan, config),
        redirect_slashes=False,
        # FastAPI's own pages load their assets from the internet.
        docs_url=None,
        redoc_url=None,
    )
    add_problem_handlers(app)
    _add_middleware(app, config)
    for resource in _RESOURCES:
        app.include_router(resource.router)
    add_docs(app)
    app.add_route("/metrics", show_metrics, include_in_schema=False)
    add_page(app)
    return app


def _add_middleware(app: FastAPI, config: ApiConfig) -> None:
    # The last one added is the outermost.
    app.add_middleware(HeadMiddleware)
    app.add_middleware(BodyLimitMiddleware, max_bytes=config.api.api_max_body_bytes)
    app.add_middleware(UnhandledErrorMiddleware)
    app.add_middleware(
        AuthMiddleware,
        settings=config.access,
        host=config.api.api_host,
        keys=ApiKeyCache(config.access.api_key_cache_seconds),
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=config.access.cors_origins,
        allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
        allow_headers=["authorization", "content-type", "idempotency-key", "last-event-id"],
        expose_headers=["link", "location", "retry-after", REQUEST_ID_HEADER],
    )
    app.add_middleware(ResponseHeadersMiddleware)
    app.add_middleware(MetricsMiddleware)
    app.add_middleware(TrailingSlashMiddleware)


def openapi_yaml() -> str:
    """Return the OpenAPI description as YAML, without any settings or servers."""
    config = ApiConfig(
        ApiSettings.model_construct(),
        DatabaseSettings.model_construct(),
        KafkaSettings.model_construct(),
        AccessSettings.model_construct(),
    )
    return plain_yaml(make_app(config).openapi())
