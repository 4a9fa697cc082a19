"""Bring a database up to date; waits while it comes up, and lets one process migrate at a time."""

import asyncio
import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, pool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from runtime.backoff import Backoff
from schemas.errors import GatewayError
from schemas.settings import DatabaseSettings

logger = logging.getLogger(__name__)

LOCK = text("SELECT pg_advisory_lock(hashtext('gateway.migrations'))")


class MigrationError(GatewayError):
    """The database could not be brought up to date; the message says why and what to do."""


async def migrate(settings: DatabaseSettings, *, wait_seconds: float = 60) -> None:
    """Run all migrations that are missing.

    Raises:
        MigrationError: the server did not answer within `wait_seconds`, or refused.
    """
    engine = create_async_engine(
        URL.create(
            "postgresql+asyncpg",
            settings.db_user,
            settings.db_password.get_secret_value(),
            settings.db_host,
            settings.db_port,
            settings.db_name,
        ),
        poolclass=pool.NullPool,
    )
    where = f"{settings.db_host}:{settings.db_port}/{settings.db_name}"
    try:
        await _when_up(engine, where, wait_seconds)
    finally:
        await engine.dispose()


async def _when_up(engine: AsyncEngine, where: str, wait_seconds: float) -> None:
    backoff = Backoff(most=2)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_seconds
    while True:
        try:
            async with engine.connect() as connection:
                await connection.execute(LOCK)
                await connection.run_sync(_upgrade)
        except (OSError, DBAPIError) as error:
            if isinstance(error, DBAPIError) and not _is_outage(error):
                raise MigrationError(f"PostgreSQL at {where} refused: {error.orig}") from error
            if loop.time() > deadline:
                raise MigrationError(
                    f"PostgreSQL at {where} did not answer within {wait_seconds:.0f} s ({error}); "
                    "check DB_HOST and DB_PORT, and that it runs"
                ) from error
            logger.info("waiting for PostgreSQL at %s", where, extra={"action": "migrate_waiting"})
            await backoff.wait()
        else:
            return


def _is_outage(error: DBAPIError) -> bool:
    # Class 57P: ending, crashed or starting up. 53: out of connections. None: no answer at all.
    state = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or state is None or state.startswith(("57P", "53", "08"))


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, with the connection to use."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    command.upgrade(alembic_config(connection), "head")
    connection.commit()
