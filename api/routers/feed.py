"""The live feed: changes as server-sent events."""

import asyncio
from contextlib import suppress
from typing import Annotated, get_args

from fastapi import APIRouter, Header, Query, Request

from api.http.problems import UnavailableError, unprocessable
from api.sse.broadcaster import Broadcaster
from api.sse.messages import TYPES, FeedFilter, FeedType
from api.sse.response import FeedResponse
from schemas.parsing.common import MAX_ID_LENGTH

router = APIRouter(prefix="/api/feed", tags=["feed"])

EXAMPLE = """\
id: 1761239100512001-3f9a0c71
event: totals
data: {"venCount":200,"onlineVens":196,"householdUsageKw":834.7}

"""
READY_SECONDS = 5.0
Id = Annotated[str | None, Query(max_length=MAX_ID_LENGTH, pattern=r"^[^\x00]+$")]


@router.get(
    "",
    status_code=200,
    operation_id="followFeed",
    response_class=FeedResponse,
    responses={
        200: {
            "description": "Server-sent events; the response does not end.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": EXAMPLE}},
        }
    },
)
async def follow(
    request: Request,
    types: Annotated[
        str | None,
        Query(max_length=256, description=f"Some of {', '.join(TYPES)}, separated by commas.", examples=["totals"]),
    ] = None,
    ven_id: Annotated[Id, Query(alias="venId", description="Only changes of this VEN.")] = None,
    event_id: Annotated[Id, Query(alias="eventId", description="Only changes of this DR event.")] = None,
    last_event_id: Annotated[
        str | None, Header(max_length=64, description="The last id that was received; the feed resumes after it.")
    ] = None,
) -> FeedResponse:
    """Follow changes: totals, DR events, commands, VENs that go online or offline, new dead letters."""
    feed: Broadcaster = request.app.state.feed
    filters = FeedFilter(_types(types), ven_id, event_id)
    if last_event_id:
        # After a restart, clients reconnect before the tables are polled for the first time.
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                await feed.replay_buffer.ready.wait()
    # Checked after the wait: clients that wait are not counted, and continue all at once.
    if len(feed.clients) >= request.app.state.settings.api_feed_clients:
        raise UnavailableError("the live feed has reached its limit of clients (API_FEED_CLIENTS); try again later")
    return FeedResponse(feed, filters, last_event_id, request.state.principal)


def _types(given: str | None) -> frozenset[FeedType]:
    if given is None:
        return frozenset(TYPES)
    known: dict[str, FeedType] = {name.lower(): name for name in get_args(FeedType)}
    names = [name.strip() for name in given.split(",")]
    if unknown := [name for name in names if name.lower() not in known]:
        raise unprocessable(f"types: there is no {unknown[0]!r}; use some of {', '.join(TYPES)}")
    return frozenset(known[name.lower()] for name in names)
