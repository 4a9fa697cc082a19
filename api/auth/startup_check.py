"""Whether the API may begin to listen: open to everybody on loopback only, or else where somebody could get in."""

import logging

import asyncpg

from api.http.problems import OUTAGES
from api.queries.keys import valid_key_exists
from runtime.database import connect_options
from schemas.base.errors import GatewayError
from schemas.settings.access import AccessSettings, is_loopback
from schemas.settings.blocks import DatabaseSettings

logger = logging.getLogger(__name__)


async def check_access_at_startup(host: str, access: AccessSettings, database: DatabaseSettings) -> None:
    """Look before the API listens, and say loudly where everybody may do everything.

    Raises:
        GatewayError: keys are required, and there is none.
    """
    if access.is_open(host):
        if not is_loopback(host):
            logger.warning(
                "THE API IS OPEN: everybody who reaches %s may do everything, for API_AUTH is open; "
                "make keys with `gateway keys create`, and set API_AUTH=required",
                host,
                extra={"action": "api_open"},
            )
        return
    if access.api_oidc_issuer:
        return
    try:
        connection = await asyncpg.connect(**connect_options(database, "gateway-api"))
        try:
            there_is_one = await valid_key_exists(connection)
        finally:
            await connection.close()
    except (*OUTAGES, asyncpg.PostgresError) as error:
        # It starts without a database as always; until that is back, every request is refused.
        logger.warning("whether there are API keys cannot be told yet: %s", error, extra={"action": "keys_unavailable"})
        return
    if not there_is_one:
        raise GatewayError(
            f"the API does not listen on {host} without anybody who could use it: make a key with "
            "`gateway keys create NAME --role admin` (with compose: `docker compose run --rm api keys create NAME "
            "--role admin`), or set API_OIDC_ISSUER; API_AUTH=open lets everybody in"
        )
