"""The feed ends for those whose key was revoked since, or whose token has expired."""

import asyncio
import logging

import asyncpg

from api.access.keys import Keys
from api.access.principal import Principal
from api.feed.hub import Hub
from api.problems import OUTAGES
from runtime.database import Pool

logger = logging.getLogger(__name__)


async def keep_expelling(hub: Hub, keys: Keys, pool: Pool, every_seconds: float) -> None:
    """Look at all who listen, for ever; each key is looked up once, however many use it."""
    while True:
        await asyncio.sleep(every_seconds)
        for client in tuple(hub.clients):
            if not client.closed and not await _holds(client.who, keys, pool):
                logger.info("the feed ends for %s", client.who.id, extra={"action": "feed_expelled"})
                hub.expel(client)


async def _holds(who: Principal, keys: Keys, pool: Pool) -> bool:
    if who.expired:
        return False
    if who.digest is None:
        return True
    try:
        return await keys.find(pool, who.digest) is not None
    except (*OUTAGES, asyncpg.PostgresError):
        return True  # without the database there is nobody who could have revoked it
