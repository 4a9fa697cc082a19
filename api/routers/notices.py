"""VTN messages: what another VTN announced, and the responses, stored for the record."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query

from api.dependencies import Database
from api.http.time_range import TimeBoundsQuery
from api.queries.notices import fetch_notices
from schemas.mqtt.routing import Kind
from schemas.parsing.common import MAX_ID_LENGTH
from schemas.rest.notices import Notices, RestNotice

router = APIRouter(prefix="/api/notices", tags=["notices"])


@router.get("")
async def list_notices(
    database: Database,
    bounds: TimeBoundsQuery,
    kind: Kind | None = None,
    ven_id: Annotated[
        str | None, Query(alias="venId", min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[^\x00]+$")
    ] = None,
    # Lower than for other lists: a document may be large.
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Notices:
    """List the VTN messages in [start, end), of one kind or VEN if given; a missing bound is no bound."""
    total, rows = await fetch_notices(database, kind, ven_id, bounds, limit)
    return Notices(
        total_count=total,
        notices=[
            RestNotice(
                timestamp=row["time"],
                received_at=row["received_at"],
                last_received_at=row["last_received_at"],
                kind=row["kind"],
                topic=row["topic"],
                ven_id=row["ven_id"],
                document=msgspec.json.decode(row["document"]),
            )
            for row in rows
        ],
    )
