"""VENs: list, register, read, update, delete."""

from secrets import token_hex
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response, status

from api.auth.audit import CurrentAction
from api.dependencies import Database, Settings, VenId
from api.http.pagination import Cursor, add_next_link
from api.http.problems import conflict, conflict_response, not_found
from api.idempotency import CreateResult, Idempotent
from api.queries.ven_erasure import remove_ven
from api.queries.ven_registry import insert_ven, update_ven
from api.queries.vens import fetch_ven, fetch_vens
from api.services.ven_erasure import erase_within_request
from api.views.vens import ven_view
from runtime.database import PooledConnection
from schemas.rest.values import as_known_status
from schemas.rest.vens import Ven, VenCreate, VenUpdate

router = APIRouter(prefix="/api/vens", tags=["vens"])


@router.get("")
async def list_vens(
    request: Request,
    response: Response,
    database: Database,
    settings: Settings,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    cursor: Cursor = "",
    status: Annotated[
        str | None,
        Query(max_length=64, pattern=r"^[^\x00]*$", description="Online, offline, pending and disabled in any case."),
    ] = None,
    q: Annotated[
        str | None, Query(max_length=128, pattern=r"^[^\x00]*$", description="Part of the id or name; case is ignored.")
    ] = None,
) -> list[Ven]:
    """List VENs ordered by id, at most `limit`; a Link header names the next page."""
    known_status = as_known_status(status) if status else None
    rows = await fetch_vens(
        database, settings.offline_after_seconds, after=cursor, limit=limit + 1, status=known_status, q=q or None
    )
    if len(rows) > limit:
        add_next_link(request, response, limit=limit, status=status, q=q, cursor=rows[limit - 1]["ven_id"])
    return [ven_view(row) for row in rows[:limit]]


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    response_model=Ven,
    responses=conflict_response("There is already a VEN with this id."),
)
async def create_ven(ven: VenCreate, settings: Settings, idempotent: Idempotent) -> Response:
    """Register a VEN before its first message; 409 if the id is taken."""
    ven_id = ven.registration_id or f"ven-{token_hex(4)}"

    async def create(connection: PooledConnection) -> CreateResult:
        if not await insert_ven(connection, ven_id, ven):
            raise conflict(f"there is already a VEN {ven_id}")
        row = await fetch_ven(connection, ven_id, settings.offline_after_seconds)
        return CreateResult(status.HTTP_201_CREATED, ven_view(row), ven_id, f"/api/vens/{quote(ven_id, safe='')}")

    return await idempotent.run(ven, create)


@router.get("/{ven_id}")
async def read_ven(ven_id: VenId, database: Database, settings: Settings) -> Ven:
    """Read one VEN with its latest values."""
    row = await fetch_ven(database, ven_id, settings.offline_after_seconds)
    if row is None:
        raise not_found("VEN", ven_id)
    return ven_view(row)


@router.patch("/{ven_id}")
async def change_ven(
    ven_id: VenId, change: VenUpdate, database: Database, settings: Settings, action: CurrentAction
) -> Ven:
    """Update the name, location or status of a VEN."""
    async with action.transaction(database) as connection:
        if not await update_ven(connection, ven_id, change):
            raise not_found("VEN", ven_id)
    return await read_ven(ven_id, database, settings)


@router.delete("/{ven_id}", status_code=status.HTTP_204_NO_CONTENT)
async def delete_ven(ven_id: VenId, database: Database, action: CurrentAction) -> None:
    """Delete a VEN and its history; a later message registers it again.

    A long history is erased in the background. Dead letters and VTN messages stay, as records of the gateway.
    """
    async with action.transaction(database) as connection:
        removed_at = await remove_ven(connection, ven_id)
        if removed_at is None:
            raise not_found("VEN", ven_id)
    await erase_within_request(database, ven_id, removed_at)
