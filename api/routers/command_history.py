"""What became of commands: each step, with the time at which it was first known."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from api.dependencies import Database, VenId
from api.http.pagination import Cursor, add_next_link
from api.http.problems import not_found
from api.queries.command_history import fetch_acks_of_command, fetch_command, fetch_commands_of_ven
from api.routers.preconditions import require_ven
from api.views.command_history import command_history_view, command_steps_view
from schemas.parsing.acks import MAX_INDEXED
from schemas.rest.command_history import MOST_ACKS, CommandHistory, CommandSteps

router = APIRouter(prefix="/api", tags=["commands"])

CorrelationId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=MAX_INDEXED,
        pattern=r"^[^\x00]+$",
        description="As the answer to the command told it.",
        examples=["evt-evt-1f0c9a3b-ab12cd34"],
    ),
]


# An operator's event id is part of it, and may have slashes.
@router.get("/commands/{correlation_id:path}")
async def read_command(correlation_id: CorrelationId, database: Database) -> CommandHistory:
    """Read the whole way of a command, and all that the VEN answered to it."""
    row = await fetch_command(database, correlation_id)
    if row is None:
        raise not_found("command", correlation_id)
    return command_history_view(row, await fetch_acks_of_command(database, correlation_id, MOST_ACKS))


@router.get("/vens/{ven_id}/commands")
async def list_commands(
    request: Request,
    response: Response,
    ven_id: VenId,
    database: Database,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Cursor = "",
) -> list[CommandSteps]:
    """List the commands of a VEN, newest first, at most `limit`; a Link header names the next page."""
    await require_ven(database, ven_id)
    rows = await fetch_commands_of_ven(database, ven_id, cursor=cursor, limit=limit + 1)
    if len(rows) > limit:
        add_next_link(request, response, limit=limit, cursor=rows[limit - 1]["correlation_id"])
    return [command_steps_view(row) for row in rows[:limit]]
