"""Erasing the history of VENs that were removed: during the request while it is short, else in the background."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import asyncpg

from api.http.problems import OUTAGES
from api.queries.ven_erasure import HISTORY, erase_piece, erase_what_is_over, pending_removals, removal_done
from runtime.database import Pool

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""How long a request waits for the end."""
EVERY_SECONDS = 60.0


async def erase(pool: Pool, ven_id: str, removed_at: datetime) -> None:
    """Erase all that a VEN sent before it was removed; it may be done twice, at once, and go on after a crash."""
    for table in HISTORY:
        while await erase_piece(pool, table, ven_id, removed_at):
            pass
    await erase_what_is_over(pool, ven_id, removed_at)
    await removal_done(pool, ven_id, removed_at)


async def erase_within_request(pool: Pool, ven_id: str, removed_at: datetime) -> None:
    """Erase what can be erased while a client waits; the background goes on from there, also after an outage."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await erase(pool, ven_id, removed_at)
    except (*OUTAGES, asyncpg.PostgresError) as error:
        about = {"action": "erase_later", "ven_id": ven_id}
        logger.info("the history of %s is erased later: %r", ven_id, error, extra=about)


async def erase_removed_vens(pool: Pool) -> None:
    """Erase what is pending, for ever; one that fails keeps none of the others waiting."""
    while True:
        with _noting("what is to be erased"):
            for removal in await pending_removals(pool):
                with _noting(removal["ven_id"]):
                    await erase(pool, removal["ven_id"], removal["removed_at"])
        await asyncio.sleep(EVERY_SECONDS)


@contextmanager
def _noting(what: str) -> Iterator[None]:
    try:
        yield
    except (*OUTAGES, asyncpg.PostgresError) as error:
        logger.warning("could not erase %s yet: %s", what, error, extra={"action": "erase_failed"})
