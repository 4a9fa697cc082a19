"""Ends the live feed of clients whose key was revoked or whose token has expired."""

import asyncio
import logging
import time
from collections.abc import Iterable

from api.queries.keys import fetch_valid_digests
from api.sse.broadcaster import Broadcaster
from api.sse.client import Client
from runtime.database import DATABASE_ERRORS, Pool
from schemas.settings.access import REVOKED_SECONDS, AccessSettings

logger = logging.getLogger(__name__)

QUERY_SECONDS = 5.0


async def watch_sessions(broadcaster: Broadcaster, pool: Pool, access: AccessSettings) -> None:
    """Check the sessions of all clients, for ever."""
    every = access.api_feed_recheck_seconds
    # A key that was last known to be valid longer ago would exceed REVOKED_SECONDS before the next check.
    unconfirmed = REVOKED_SECONDS - access.api_key_cache_seconds - every - QUERY_SECONDS
    while True:
        await asyncio.sleep(every)
        await end_expired_sessions(broadcaster, pool, unconfirmed)


async def end_expired_sessions(broadcaster: Broadcaster, pool: Pool, unconfirmed_seconds: float) -> None:
    """End the sessions whose key or token is not valid any more.

    If the database does not answer, a key counts as valid for `unconfirmed_seconds` after the last confirmation: it may
    have been revoked before the outage, or by a client that still reaches the database.
    """
    clients = [client for client in broadcaster.clients if not client.closed]
    _end(broadcaster, [client for client in clients if client.principal.expired])
    by_key = {
        client: client.principal.digest
        for client in clients
        if client.principal.digest is not None and not client.closed
    }
    if not by_key:
        return
    now = time.monotonic()
    try:
        async with asyncio.timeout(QUERY_SECONDS):
            valid = await fetch_valid_digests(pool, set(by_key.values()))
    except DATABASE_ERRORS as error:
        logger.warning("cannot look up API keys: %s", error, extra={"action": "keys_unavailable"})
        _end(broadcaster, [client for client in by_key if now - client.valid_at > unconfirmed_seconds])
        return
    for client, digest in by_key.items():
        if digest in valid:
            client.valid_at = now
    _end(broadcaster, [client for client, digest in by_key.items() if digest not in valid])


def _end(broadcaster: Broadcaster, clients: Iterable[Client]) -> None:
    for client in clients:
        logger.info(
            "the live feed of %s ends: its key or token is not valid any more",
            client.principal.id,
            extra={"action": "feed_session_ended"},
        )
        broadcaster.end_session(client)
