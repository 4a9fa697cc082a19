"""The last device shadow of a VEN, as it was received."""

from email.utils import format_datetime
from typing import Any

from fastapi import APIRouter, Response

from api.dependencies import Database, VenId
from api.http.problems import not_found
from api.queries.shadows import fetch_shadow

router = APIRouter(prefix="/api/vens", tags=["vens"])

_EXAMPLE = {"state": {"reported": {"power_kw": 8.2, "shed_kw": 4.8, "active_event": None}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"example": _EXAMPLE}}}}


@router.get("/{ven_id}/shadow", response_model=dict[str, Any], responses=_RESPONSES)
async def read_shadow(ven_id: VenId, database: Database) -> Response:
    """Read the last device shadow of a VEN; Last-Modified says when it was received."""
    row = await fetch_shadow(database, ven_id)
    if row is None:
        raise not_found("device shadow of VEN", ven_id)
    # The text is not parsed, so that numbers keep all their digits.
    headers = {"last-modified": format_datetime(row["received_at"], usegmt=True)}
    return Response(row["document"], media_type="application/json", headers=headers)
