"""Dead letters: search, read, correct and replay."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request, Response, status
from pydantic import BaseModel

from api.auth.audit import CurrentAction
from api.dependencies import Database
from api.http.problems import not_found, unprocessable
from api.queries.dead_letter_replays import NOT_STORED, RequestedReplay, request_matching, request_replays
from api.queries.dead_letters import (
    DeadLetterFilter,
    DeadLetterKey,
    fetch_dead_letter,
    fetch_dead_letters,
    find_keys,
)
from api.services.replay_status import ReplayProgress, ReplayTracker
from api.views.dead_letters import dead_letter_detail_view, dead_letter_view, decode_cursor, encode_cursor
from schemas.records.dead_letters import DeadLetterState
from schemas.rest.dead_letters import (
    BulkReplay,
    BulkReplayOutcome,
    DeadLetterCriteria,
    DeadLetterDetail,
    DeadLetterPage,
    DeadLetterQuery,
    ReplayOutcome,
    ReplayRequest,
)

router = APIRouter(prefix="/api/dead-letters", tags=["dead letters"])

DeadLetterId = Annotated[str, Path(min_length=1, max_length=256, pattern=r"^[^\x00]+$", examples=["5f0c8a1be0d29a47"])]
Wait = Annotated[
    float, Query(ge=0, le=30, allow_inf_nan=False, description="How many seconds to wait for the result of the replay.")
]


def _accepted(description: str, model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """Describe the 202 of a replay for OpenAPI."""
    return {status.HTTP_202_ACCEPTED: {"description": description, "model": model}}


@router.get("")
async def list_dead_letters(
    request: Request, response: Response, database: Database, query: Annotated[DeadLetterQuery, Query()]
) -> DeadLetterPage:
    """List dead letters, newest first; if there are more, `next` and a Link header name the next page."""
    states = () if query.state is None else (query.state,)
    rows = await fetch_dead_letters(
        database, _filter(query, states), older_than=_older_than(query.cursor), limit=query.limit + 1
    )
    next_cursor = None
    if len(rows) > query.limit:
        last = rows[query.limit - 1]
        next_cursor = encode_cursor(DeadLetterKey(last["time"], last["id"]))
        same = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        response.headers["link"] = f'<{request.url.path}?{urlencode([*same, ("cursor", next_cursor)])}>; rel="next"'
    return DeadLetterPage(dead_letters=[dead_letter_view(row) for row in rows[: query.limit]], next=next_cursor)


@router.get("/{dead_letter_id}")
async def read_dead_letter(dead_letter_id: DeadLetterId, database: Database) -> DeadLetterDetail:
    """Read one dead letter with its payload and headers."""
    row = await fetch_dead_letter(database, dead_letter_id)
    if row is None:
        raise not_found("dead letter", dead_letter_id)
    return dead_letter_detail_view(row)


@router.post("/replay", responses=_accepted("Some replays are not settled yet.", BulkReplayOutcome))
async def replay_many(
    body: BulkReplay,
    response: Response,
    database: Database,
    action: CurrentAction,
    wait: Wait = 5,
) -> BulkReplayOutcome:
    """Replay matching dead letters, the least replayed first; 202 if some are not settled within `wait` seconds."""
    states = NOT_STORED if body.state is None else (body.state,)

    def audit_ids(requested: Sequence[RequestedReplay]) -> None:
        # The filter alone would not tell which they were: later it matches others.
        action.result = " ".join(each.key.id for each in requested) or None

    matched, requested = await request_matching(
        database, _filter(body, states), body.limit, action.transaction, audit_ids
    )
    tracker = ReplayTracker(database, requested)
    await tracker.wait_until_settled(wait)
    if tracker.pending:
        response.status_code = status.HTTP_202_ACCEPTED
    outcomes = [_outcome(each) for each in tracker.progress.values()]
    return BulkReplayOutcome(
        matched=matched,
        requested=len(requested),
        outcomes=Counter(each.state for each in outcomes),
        dead_letters=outcomes,
    )


@router.post("/{dead_letter_id}/replay", responses=_accepted("The replay is not settled yet.", ReplayOutcome))
async def replay_one(
    dead_letter_id: DeadLetterId,
    response: Response,
    database: Database,
    action: CurrentAction,
    body: ReplayRequest | None = None,
    wait: Wait = 5,
) -> ReplayOutcome:
    """Replay one dead letter, corrected or as it was sent last; 202 if it is not settled within `wait` seconds.

    What is stored already is not stored again, so a replay can be repeated.
    """
    keys = await find_keys(database, [dead_letter_id])
    if not keys:
        raise not_found("dead letter", dead_letter_id)
    corrected_payload = body.corrected_payload if body else None
    requested = await request_replays(database, keys.values(), corrected_payload, action.transaction)
    if not requested:
        raise not_found("dead letter", dead_letter_id)
    tracker = ReplayTracker(database, requested)
    await tracker.wait_until_settled(wait)
    if tracker.pending:
        response.status_code = status.HTTP_202_ACCEPTED
    return _outcome(tracker.progress[dead_letter_id])


def _filter(given: DeadLetterCriteria, states: tuple[DeadLetterState, ...]) -> DeadLetterFilter:
    return DeadLetterFilter(given.topic, given.ven_id, given.reason, states, given.start, given.end)


def _older_than(cursor: str | None) -> DeadLetterKey | None:
    try:
        return None if cursor is None else decode_cursor(cursor)
    except ValueError as error:
        raise unprocessable(str(error)) from None


def _outcome(progress: ReplayProgress) -> ReplayOutcome:
    return ReplayOutcome(id=progress.id, state=progress.state, state_detail=progress.detail, attempt=progress.attempt)
