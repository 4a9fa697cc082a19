"""What Alembic does in a database, for tests."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import URL, Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

from schemas.settings.blocks import DatabaseSettings

T = TypeVar("T")


async def in_alembic(settings: DatabaseSettings, work: Callable[[Connection], T]) -> T:
    """Do work on a connection of the kind that Alembic takes, in one transaction."""
    url = URL.create(
        "postgresql+asyncpg",
        settings.db_user,
        settings.db_password.get_secret_value(),
        settings.db_host,
        settings.db_port,
        settings.db_name,
    )
    engine = create_async_engine(url, poolclass=pool.NullPool)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()
