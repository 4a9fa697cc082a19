"""A database connection for one command; each failure is one sentence that says what to do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncpg

from runtime.database import DATABASE_OUTAGES, Pool, connect_options
from runtime.process import run
from schemas.base.errors import GatewayError
from schemas.settings.blocks import DatabaseSettings

T = TypeVar("T")


def with_database(command: str, work: Callable[[Pool, asyncio.Event], Awaitable[T]], grace: float | None = 0) -> T:
    """Run work that only needs the database. It gets a pool, and an event that Ctrl-C sets.

    Raises:
        GatewayError: the database does not answer, or refuses.
    """
    settings = DatabaseSettings.load()
    results: list[T] = []

    async def main(stop: asyncio.Event) -> None:
        async with connected(settings, command) as pool:
            results.append(await work(pool, stop))

    run("gateway", main, level="WARNING", grace=grace)
    return results[0]


@asynccontextmanager
async def connected(settings: DatabaseSettings, command: str) -> AsyncIterator[Pool]:
    """Connect to the database inside the block, for `gateway <command>`.

    Raises:
        GatewayError: the database does not answer, or refuses.
    """
    where = f"PostgreSQL at {settings.db_host}:{settings.db_port}/{settings.db_name}"
    try:
        async with asyncpg.create_pool(
            **connect_options(settings, f"gateway-{command}"), min_size=0, max_size=2
        ) as pool:
            yield pool
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise GatewayError(f"{where} rejects the login: {error}; check DB_USER and DB_PASSWORD") from None
    except asyncpg.InvalidCatalogNameError as error:
        raise GatewayError(f"{where}: {error}; create it, or check DB_NAME") from None
    except asyncpg.UndefinedTableError:
        raise GatewayError(f"{where} lacks the tables of this version; run `gateway migrate`") from None
    except DATABASE_OUTAGES as error:
        why = str(error) or type(error).__name__
        raise GatewayError(f"{where} does not answer: {why}; check DB_HOST and DB_PORT, and that it runs") from None
    except asyncpg.PostgresError as error:
        raise GatewayError(f"{where} reports an error: {error}") from None
