"""The check at the start: an API that is not on loopback needs a key or an issuer, or is open on purpose."""

import logging

import asyncpg

from api.queries.keys import valid_key_exists
from runtime.database import DATABASE_ERRORS, connect_options
from schemas.base.errors import GatewayError
from schemas.settings.access import AccessSettings, is_loopback
from schemas.settings.blocks import DatabaseSettings

logger = logging.getLogger(__name__)


async def check_access_at_startup(host: str, access: AccessSettings, database: DatabaseSettings) -> None:
    """Check that some client can use the API, and log a warning if every client can.

    Raises:
        GatewayError: keys are required, and there is none.
    """
    if access.is_open(host):
        if not is_loopback(host):
            logger.warning(
                "THE API IS OPEN: everybody who reaches %s may do everything, because API_AUTH is open; "
                "create keys with `gateway keys create` and set API_AUTH=required",
                host,
                extra={"action": "api_open"},
            )
        return
    if access.api_oidc_issuer:
        return
    try:
        connection = await asyncpg.connect(**connect_options(database, "gateway-api"))
        try:
            key_exists = await valid_key_exists(connection)
        finally:
            await connection.close()
    except DATABASE_ERRORS as error:
        # The API also starts without a database; until it is up, every request with a key is rejected.
        logger.warning("cannot look up API keys: %s", error, extra={"action": "keys_unavailable"})
        return
    if not key_exists:
        raise GatewayError(
            f"the API does not listen on {host} because no API key exists: create one with "
            "`gateway keys create NAME --role admin` (with compose: `docker compose run --rm api keys create NAME "
            "--role admin`), set API_OIDC_ISSUER, or set API_AUTH=open to admit everybody"
        )
