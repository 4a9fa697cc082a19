"""The last shadow document of a VEN, as it was sent."""

from email.utils import format_datetime
from typing import Any

from fastapi import APIRouter, Response

from api.dependencies import Database, VenId
from api.http.problems import not_found
from api.queries.shadows import fetch_shadow

router = APIRouter(prefix="/api/vens", tags=["vens"])

SHOWN: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {
                "example": {"state": {"reported": {"power_kw": 8.2, "shed_kw": 4.8, "active_event": None}}}
            }
        }
    }
}


@router.get("/{ven_id}/shadow", response_model=dict[str, Any], responses=SHOWN)
async def read_shadow(ven_id: VenId, database: Database) -> Response:
    """Read the last shadow document of a VEN; Last-Modified says when it was received."""
    row = await fetch_shadow(database, ven_id)
    if row is None:
        raise not_found("shadow of a VEN", ven_id)
    # Straight from the table: numbers keep the digits that they came with.
    headers = {"last-modified": format_datetime(row["received_at"], usegmt=True)}
    return Response(row["document"], media_type="application/json", headers=headers)
