"""The database work of `gateway deadletters`; it prints nothing but a progress bar."""

import asyncio
from collections.abc import Sequence

import asyncpg
from rich.console import Console
from rich.progress import Progress

from api.auth.audit import AuditedAction
from api.auth.principal import cli_principal
from api.queries.dead_letter_replays import request_replays
from api.queries.dead_letters import (
    DeadLetterFilter,
    DeadLetterKey,
    fetch_dead_letter,
    fetch_dead_letters,
    fetch_keys,
    find_keys,
)
from api.services.replay_status import ReplayProgress, ReplayTracker
from api.views.dead_letters import dead_letter_view, encode_cursor
from runtime.database import Pool
from schemas.base.errors import GatewayError
from schemas.rest.dead_letters import DeadLetterPage

# Dead letters per transaction, and per query of their states.
CHUNK = 1000


async def list_newest(pool: Pool, selected: DeadLetterFilter, limit: int) -> DeadLetterPage:
    """Return the newest matching dead letters, as the REST API does."""
    rows = await fetch_dead_letters(pool, selected, older_than=None, limit=limit + 1)
    more = len(rows) > limit
    return DeadLetterPage(
        dead_letters=[dead_letter_view(row) for row in rows[:limit]],
        next=encode_cursor(DeadLetterKey(rows[limit - 1]["time"], rows[limit - 1]["id"])) if more else None,
    )


async def find_by_id(pool: Pool, dead_letter_id: str) -> asyncpg.Record:
    """Return one dead letter with its payload.

    Raises:
        GatewayError: there is none with this id.
    """
    row = await fetch_dead_letter(pool, dead_letter_id)
    if row is None:
        raise _unknown([dead_letter_id])
    return row


async def keys_of(pool: Pool, ids: Sequence[str]) -> list[DeadLetterKey]:
    """Return the keys of these dead letters, each once.

    Raises:
        GatewayError: some ids do not exist; the message names them.
    """
    found = await find_keys(pool, ids)
    if missing := [dead_letter_id for dead_letter_id in ids if dead_letter_id not in found]:
        raise _unknown(missing)
    return list(found.values())


async def keys_matching(pool: Pool, selected: DeadLetterFilter) -> list[DeadLetterKey]:
    """Return the keys of all matching dead letters, oldest first."""
    keys: list[DeadLetterKey] = []
    while page := await fetch_keys(pool, selected, older_than=keys[-1] if keys else None, limit=10 * CHUNK):
        keys += page
    return keys[::-1]


async def replay(
    pool: Pool, keys: Sequence[DeadLetterKey], corrected_payload: bytes | None, wait: float, stop: asyncio.Event
) -> list[ReplayProgress]:
    """Request all replays and wait until all are settled, none was for `wait` seconds, or `stop` is set."""
    console = Console(stderr=True)
    trackers: list[ReplayTracker] = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        requested_bar = progress.add_task("requested", total=len(keys))
        settled_bar = progress.add_task("settled", total=len(keys))
        for first in range(0, len(keys), CHUNK):
            if stop.is_set():
                break
            some = keys[first : first + CHUNK]
            action = AuditedAction(cli_principal(), "CLI", f"gateway deadletters replay ({len(some)})")
            action.result = " ".join(key.id for key in some)
            requested = await request_replays(pool, some, corrected_payload, action.transaction)
            trackers.append(ReplayTracker(pool, requested))
            progress.advance(requested_bar, len(requested))
        for tracker in trackers:
            while newly_settled := await _wait_for_settled(stop, tracker, wait):
                progress.advance(settled_bar, len(newly_settled))
            if tracker.pending:
                break
    return [outcome for tracker in trackers for outcome in tracker.progress.values()]


async def _wait_for_settled(stop: asyncio.Event, tracker: ReplayTracker, wait: float) -> list[ReplayProgress]:
    waiting, stopped = asyncio.create_task(tracker.wait_for_settled(wait)), asyncio.create_task(stop.wait())
    await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not waiting.done():
        waiting.cancel()
        await asyncio.wait({waiting})
        return []
    return waiting.result()


def _unknown(ids: Sequence[str]) -> GatewayError:
    return GatewayError(f"there is no dead letter {', '.join(ids)}; see: gateway deadletters list")
