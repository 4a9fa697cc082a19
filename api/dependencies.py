"""Dependencies of routes: objects from the app's state, and path parameters."""

from typing import Annotated, Any

from fastapi import Depends, Path, Request

from api.services.energy_today import EnergyToday
from api.services.live_totals import LiveTotals
from api.services.open_buckets import OpenBucketCache
from runtime.database import Pool
from schemas.parsing.common import MAX_ID_LENGTH
from schemas.parsing.loads import MAX_TEXT as MAX_LOAD_ID_LENGTH
from schemas.settings.blocks import ApiSettings


def _pool(request: Request) -> Any:
    return request.app.state.pool


def _health_pool(request: Request) -> Any:
    return request.app.state.health_pool


def _live_totals(request: Request) -> Any:
    return request.app.state.live_totals


def _energy_today(request: Request) -> Any:
    return request.app.state.energy_today


def _settings(request: Request) -> Any:
    return request.app.state.settings


def _open_buckets(request: Request) -> Any:
    return request.app.state.open_buckets


Database = Annotated[Pool, Depends(_pool)]
HealthDatabase = Annotated[Pool, Depends(_health_pool)]
"""Has a connection that no other request uses."""
Live = Annotated[LiveTotals, Depends(_live_totals)]
Energy = Annotated[EnergyToday, Depends(_energy_today)]
OpenBuckets = Annotated[OpenBucketCache, Depends(_open_buckets)]
Settings = Annotated[ApiSettings, Depends(_settings)]
VenId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=MAX_ID_LENGTH,
        pattern=r"^[^/+#\x00-\x1f\x7f-\x9f]+$",
        description="The VEN's MQTT id.",
        examples=["ven-001"],
    ),
]
LoadId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=MAX_LOAD_ID_LENGTH,
        pattern=r"^[^\x00]+$",
        description="The load's id, as the VEN reports it.",
        examples=["hvac1"],
    ),
]
EventId = Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[^\x00]+$", examples=["evt-1f0c9a3b"])]
