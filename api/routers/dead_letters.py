"""Dead letters: find, read, mend and replay."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request, Response, status
from pydantic import BaseModel

from api.auth.audit import CurrentAction
from api.dependencies import Database
from api.http.problems import not_found, unprocessable
from api.queries.dead_letters import (
    NOT_STORED,
    DeadLetterFilter,
    DeadLetterKey,
    RequestedReplay,
    fetch_dead_letter,
    fetch_dead_letters,
    find_keys,
    request_matching,
    request_replays,
)
from api.services.replay_status import ReplayProgress, ReplayTracker
from api.views.dead_letters import dead_letter, dead_letter_detail_view, decode_cursor, encode_cursor
from schemas.records.dead_letters import DeadLetterState
from schemas.rest.dead_letters import (
    BulkOutcome,
    BulkReplay,
    DeadLetterPage,
    LetterFilter,
    LetterQuery,
    ReplayOutcome,
    ReplayRequest,
    WholeDeadLetter,
)

router = APIRouter(prefix="/api/dead-letters", tags=["dead letters"])

DeadLetterId = Annotated[str, Path(min_length=1, max_length=256, pattern=r"^[^\x00]+$", examples=["5f0c8a1be0d29a47"])]
Wait = Annotated[
    float, Query(ge=0, le=30, allow_inf_nan=False, description="Seconds to wait for what becomes of the replay.")
]


def later(description: str, model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """Describe the 202 of a replay."""
    return {status.HTTP_202_ACCEPTED: {"description": description, "model": model}}


@router.get("")
async def list_dead_letters(
    request: Request, response: Response, database: Database, query: Annotated[LetterQuery, Query()]
) -> DeadLetterPage:
    """List dead letters, newest first; where there are more, `next` and a Link header name the next page."""
    states = () if query.state is None else (query.state,)
    rows = await fetch_dead_letters(
        database, _letters(query, states), older_than=_older_than(query.cursor), limit=query.limit + 1
    )
    following = None
    if len(rows) > query.limit:
        last = rows[query.limit - 1]
        following = encode_cursor(DeadLetterKey(last["time"], last["id"]))
        same = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        response.headers["link"] = f'<{request.url.path}?{urlencode([*same, ("cursor", following)])}>; rel="next"'
    return DeadLetterPage(dead_letters=[dead_letter(row) for row in rows[: query.limit]], next=following)


@router.get("/{dead_letter_id}")
async def read_dead_letter(dead_letter_id: DeadLetterId, database: Database) -> WholeDeadLetter:
    """Read one dead letter with its payload and headers."""
    row = await fetch_dead_letter(database, dead_letter_id)
    if row is None:
        raise not_found("dead letter", dead_letter_id)
    return dead_letter_detail_view(row)


@router.post("/replay", responses=later("Not all are settled yet.", BulkOutcome))
async def replay_many(
    body: BulkReplay,
    response: Response,
    database: Database,
    action: CurrentAction,
    wait: Wait = 5,
) -> BulkOutcome:
    """Replay what matches, those tried least often first; 202 where not all are settled within `wait`."""
    states = NOT_STORED if body.state is None else (body.state,)

    def note(requested: Sequence[RequestedReplay]) -> None:
        # The filter would not say which they were: it finds others later.
        action.result = " ".join(each.key.id for each in requested) or None

    letters = _letters(body, states)
    matched, requested = await request_matching(database, letters, body.limit, action.transaction, note)
    watch = ReplayTracker(database, requested)
    await watch.wait_until_settled(wait)
    if watch.pending:
        response.status_code = status.HTTP_202_ACCEPTED
    outcomes = [_outcome(each) for each in watch.outcomes.values()]
    return BulkOutcome(
        matched=matched,
        requested=len(requested),
        outcomes=Counter(each.state for each in outcomes),
        dead_letters=outcomes,
    )


@router.post("/{dead_letter_id}/replay", responses=later("It is not settled yet.", ReplayOutcome))
async def replay_one(
    dead_letter_id: DeadLetterId,
    response: Response,
    database: Database,
    action: CurrentAction,
    body: ReplayRequest | None = None,
    wait: Wait = 5,
) -> ReplayOutcome:
    """Replay one letter, corrected or as it was tried last; 202 where it is not settled within `wait`.

    What is stored already is not stored again, so a replay can be repeated at will.
    """
    keys = await find_keys(database, [dead_letter_id])
    if not keys:
        raise not_found("dead letter", dead_letter_id)
    corrected_payload = body.corrected_payload if body else None
    requested = await request_replays(database, keys.values(), corrected_payload, action.transaction)
    if not requested:
        raise not_found("dead letter", dead_letter_id)
    watch = ReplayTracker(database, requested)
    await watch.wait_until_settled(wait)
    if watch.pending:
        response.status_code = status.HTTP_202_ACCEPTED
    return _outcome(watch.outcomes[dead_letter_id])


def _letters(wanted: LetterFilter, states: tuple[DeadLetterState, ...]) -> DeadLetterFilter:
    return DeadLetterFilter(wanted.topic, wanted.ven_id, wanted.reason, states, wanted.start, wanted.end)


def _older_than(cursor: str | None) -> DeadLetterKey | None:
    try:
        return None if cursor is None else decode_cursor(cursor)
    except ValueError as error:
        raise unprocessable(str(error)) from None


def _outcome(outcome: ReplayProgress) -> ReplayOutcome:
    return ReplayOutcome(id=outcome.id, state=outcome.state, state_detail=outcome.detail, attempt=outcome.attempt)
