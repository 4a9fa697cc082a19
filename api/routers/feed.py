"""The feed: what changes, as server-sent events."""

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
BEGIN_SECONDS = 5.0
Id = Annotated[str | None, Query(max_length=MAX_ID_LENGTH, pattern=r"^[^\x00]+$")]


@router.get(
    "",
    status_code=200,
    operation_id="followFeed",
    response_class=FeedResponse,
    responses={
        200: {
            "description": "Server-sent events, without an end.",
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
    ven_id: Annotated[Id, Query(alias="venId", description="Only what is about this VEN.")] = None,
    event_id: Annotated[Id, Query(alias="eventId", description="Only what is about this DR event.")] = None,
    last_event_id: Annotated[str | None, Header(max_length=64, description="Go on after this id.")] = None,
) -> FeedResponse:
    """Follow what changes: totals, DR events, commands, VENs that come and go, new dead letters."""
    feed: Broadcaster = request.app.state.feed
    wanted = FeedFilter(_types(types), ven_id, event_id)
    if last_event_id:
        # Whoever lost a process that is restarted comes back within a moment, before the first look at the tables.
        with suppress(TimeoutError):
            async with asyncio.timeout(BEGIN_SECONDS):
                await feed.replay_buffer.begun.wait()
    # After the waiting: those who wait are not counted yet, and all of them go on at once.
    if len(feed.clients) >= request.app.state.settings.api_feed_clients:
        raise UnavailableError("the feed has as many clients as it may (API_FEED_CLIENTS); try again later")
    return FeedResponse(feed, wanted, last_event_id, request.state.principal)


def _types(given: str | None) -> frozenset[FeedType]:
    if given is None:
        return frozenset(TYPES)
    known = {name: name for name in get_args(FeedType)}
    names = [name.strip() for name in given.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise unprocessable(f"types: there is no {unknown[0]!r}; there are {', '.join(TYPES)}")
    return frozenset(known[name] for name in names)
