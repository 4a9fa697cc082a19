"""Deletes the history of deleted VENs: during the request while that is short, otherwise in the background."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from api.queries.ven_erasure import HISTORY, erase_no_longer_retained, erase_piece, fetch_pending, finish_erasure
from runtime.database import DATABASE_ERRORS, Pool

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 5.0
"""How long a request waits for the erasure."""
EVERY_SECONDS = 60.0


async def erase(pool: Pool, ven_id: str, removed_at: datetime) -> None:
    """Delete all rows of a VEN from before `removed_at`. It is idempotent and may run concurrently."""
    for table in HISTORY:
        while await erase_piece(pool, table, ven_id, removed_at):
            pass
    await erase_no_longer_retained(pool, ven_id, removed_at)
    await finish_erasure(pool, ven_id, removed_at)


async def erase_within_request(pool: Pool, ven_id: str, removed_at: datetime) -> None:
    """Erase for at most REQUEST_SECONDS; the background task continues from there, also after an outage."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            await erase(pool, ven_id, removed_at)
    except DATABASE_ERRORS as error:
        logger.info(
            "the history of %s is erased in the background: %r",
            ven_id,
            error,
            extra={"action": "erasure_deferred", "ven_id": ven_id},
        )


async def erase_removed_vens(pool: Pool) -> None:
    """Erase all pending VENs, for ever; one that fails does not block the others."""
    while True:
        with _logged("the pending VENs"):
            for row in await fetch_pending(pool):
                with _logged(row["ven_id"]):
                    await erase(pool, row["ven_id"], row["removed_at"])
        await asyncio.sleep(EVERY_SECONDS)


@contextmanager
def _logged(what: str) -> Iterator[None]:
    try:
        yield
    except DATABASE_ERRORS as error:
        logger.warning("cannot erase %s: %s; retrying", what, error, extra={"action": "erasure_failed"})
