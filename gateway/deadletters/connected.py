"""The database for one command; what goes wrong with it is one sentence that says what to do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from api.problems import OUTAGES
from runtime.database import Pool, connect_options
from schemas.errors import GatewayError
from schemas.settings import DatabaseSettings


@asynccontextmanager
async def connected(settings: DatabaseSettings) -> AsyncIterator[Pool]:
    """Have the database inside.

    Raises:
        GatewayError: it does not answer, or not as it should.
    """
    where = f"PostgreSQL at {settings.db_host}:{settings.db_port}/{settings.db_name}"
    try:
        async with asyncpg.create_pool(
            **connect_options(settings, "gateway-deadletters"), min_size=0, max_size=2
        ) as pool:
            yield pool
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise GatewayError(f"{where} refuses the login: {error}; check DB_USER and DB_PASSWORD") from None
    except asyncpg.InvalidCatalogNameError as error:
        raise GatewayError(f"{where}: {error}; create it, or check DB_NAME") from None
    except asyncpg.UndefinedTableError:
        raise GatewayError(f"{where} has no tables of this version; run gateway migrate") from None
    except OUTAGES as error:
        why = str(error) or type(error).__name__
        raise GatewayError(f"{where} does not answer: {why}; check DB_HOST and DB_PORT, and that it runs") from None
    except asyncpg.PostgresError as error:
        raise GatewayError(f"{where} refuses: {error}") from None
