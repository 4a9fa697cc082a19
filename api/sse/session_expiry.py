"""The feed ends for those whose key was revoked since, or whose token has expired."""

import asyncio
import logging
import time
from collections.abc import Iterable

import asyncpg

from api.http.problems import OUTAGES
from api.queries.keys import fetch_valid_digests
from api.sse.broadcaster import Broadcaster, Client
from runtime.database import Pool
from schemas.settings.access import REVOKED_SECONDS, AccessSettings

logger = logging.getLogger(__name__)

ASK_SECONDS = 5.0


async def watch_sessions(broadcaster: Broadcaster, pool: Pool, access: AccessSettings) -> None:
    """Look at all who listen, for ever."""
    every = access.api_feed_recheck_seconds
    # At a look that cannot tell: who was known to hold longer ago would at the next one be past the minute.
    unsure = REVOKED_SECONDS - access.api_key_cache_seconds - every - ASK_SECONDS
    while True:
        await asyncio.sleep(every)
        await end_feed(broadcaster, pool, unsure)


async def end_feed(broadcaster: Broadcaster, pool: Pool, unsure_seconds: float) -> None:
    """End the feeds of those who may hear no more.

    Where the database does not say, a key holds for `unsure_seconds` after it was last known to: it may have been
    revoked before the database went away, or by somebody who reaches it where we do not.
    """
    listening = [client for client in broadcaster.clients if not client.closed]
    _end(broadcaster, [client for client in listening if client.who.expired])
    asked = {client: client.who.digest for client in listening if client.who.digest is not None and not client.closed}
    if not asked:
        return
    now = time.monotonic()
    try:
        async with asyncio.timeout(ASK_SECONDS):
            hold = await fetch_valid_digests(pool, set(asked.values()))
    except (*OUTAGES, asyncpg.PostgresError) as error:
        logger.warning("keys cannot be looked up: %s", error, extra={"action": "keys_unavailable"})
        _end(broadcaster, [client for client in asked if now - client.valid_at > unsure_seconds])
        return
    for client, digest in asked.items():
        if digest in hold:
            client.valid_at = now
    _end(broadcaster, [client for client, digest in asked.items() if digest not in hold])


def _end(broadcaster: Broadcaster, clients: Iterable[Client]) -> None:
    for client in clients:
        logger.info("the feed ends for %s", client.who.id, extra={"action": "feed_expelled"})
        broadcaster.end_feed(client)
