"""The loads of a VEN: as it reported them, overlaid with the `setLoad` commands since then."""

from fastapi import APIRouter

from api.auth.audit import CurrentAction
from api.dependencies import Database, LoadId, Settings, VenId
from api.http.problems import not_found
from api.queries.vens import fetch_ven
from api.services.command_admission import admit
from api.services.request_tracing import trace_request
from api.views.vens import loads_view
from runtime.database import Pool
from schemas.dr.commands import set_load_command
from schemas.rest.loads import LoadUpdate, RestLoad

router = APIRouter(prefix="/api/vens/{ven_id}/loads", tags=["loads"])


@router.get("")
async def list_loads(ven_id: VenId, database: Database, settings: Settings) -> list[RestLoad]:
    """List the loads of a VEN."""
    return await _loads(database, ven_id, settings.offline_after_seconds)


@router.get("/{load_id}")
async def read_load(ven_id: VenId, load_id: LoadId, database: Database, settings: Settings) -> RestLoad:
    """Read one load of a VEN."""
    for load in await _loads(database, ven_id, settings.offline_after_seconds):
        if load.id == load_id:
            return load
    raise not_found(f"load of {ven_id}", load_id)


@router.patch("/{load_id}")
async def set_load(
    ven_id: VenId, load_id: LoadId, change: LoadUpdate, database: Database, settings: Settings, action: CurrentAction
) -> RestLoad:
    """Set a load. Until the VEN reports its loads again, the load is shown as requested.

    The VEN is sent a `setLoad`. Many devices do not ack it; what the VEN reports afterwards counts.
    """
    command = set_load_command(ven_id, load_id, change.enabled, change.capacity_kw, change.priority)
    with trace_request() as trace:
        async with action.transaction(database) as connection:
            admitted = await admit(connection, command, load_id)
            action.result = admitted.correlation_id
            trace.command(admitted)
    return await read_load(ven_id, load_id, database, settings)


async def _loads(database: Pool, ven_id: str, offline_after: float) -> list[RestLoad]:
    row = await fetch_ven(database, ven_id, offline_after)
    if row is None:
        raise not_found("VEN", ven_id)
    return loads_view(row)
