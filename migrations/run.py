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
from runtime.database_tls import database_tls, diagnose_database_tls
from schemas.base.errors import GatewayError
from schemas.settings.blocks import DatabaseSettings

logger = logging.getLogger(__name__)

LOCK = text("SELECT pg_advisory_lock(hashtext('gateway.migrations'))")

# A statement that waits for a table lets everybody who comes later wait behind it, readers and writers alike. So it
# waits this long, gives way, and tries again.
LOCK_TIMEOUT = text("SET lock_timeout = '2s'")
_IN_USE = frozenset(("55P03", "40P01"))  # the lock was not to be had in time; a deadlock that ended at our cost

SCRIPTS = Path(__file__).parent


class MigrationError(GatewayError):
    """The database could not be brought up to date; the message says why and what to do."""


async def migrate(settings: DatabaseSettings, *, wait_seconds: float = 60, scripts: Path = SCRIPTS) -> None:
    """Run all migrations of the folder `scripts` that are missing.

    Raises:
        MigrationError: within `wait_seconds` the server did not answer, or others did not let go of a table; or it
            refused.
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
        connect_args={"ssl": database_tls(settings)},
    )
    where = f"{settings.db_host}:{settings.db_port}/{settings.db_name}"
    try:
        await _when_up(engine, where, wait_seconds, scripts)
    finally:
        await engine.dispose()


async def _when_up(engine: AsyncEngine, where: str, wait_seconds: float, scripts: Path) -> None:
    backoff = Backoff(max_seconds=2)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_seconds
    while True:
        try:
            async with engine.connect() as connection:
                await connection.execute(LOCK)
                await connection.execute(LOCK_TIMEOUT)
                await connection.run_sync(_upgrade, scripts)
        except (OSError, DBAPIError) as error:
            refused = diagnose_database_tls(error)
            if refused is not None:
                raise MigrationError(refused) from None
            in_use = _state(error) in _IN_USE
            if isinstance(error, DBAPIError) and not (in_use or _is_outage(error)):
                raise MigrationError(f"PostgreSQL at {where} refused: {error.orig}") from error
            if loop.time() > deadline:
                raise MigrationError(_gave_up(where, wait_seconds, error, in_use=in_use)) from error
            what = "a table that is in use" if in_use else "PostgreSQL"
            logger.info("waiting for %s at %s", what, where, extra={"action": "migrate_waiting"})
            await backoff.wait()
        else:
            return


def _gave_up(where: str, wait_seconds: float, error: Exception, *, in_use: bool) -> str:
    if in_use:
        return (
            f"a table in PostgreSQL at {where} was in use for {wait_seconds:.0f} s; end transactions that stay open "
            "(pg_stat_activity shows them), and migrate again"
        )
    return (
        f"PostgreSQL at {where} did not answer within {wait_seconds:.0f} s ({error}); "
        "check DB_HOST and DB_PORT, and that it runs"
    )


def _state(error: Exception) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def _is_outage(error: DBAPIError) -> bool:
    # Class 57P: ending, crashed or starting up. 53: out of connections. None: no answer at all.
    state = _state(error)
    return error.connection_invalidated or state is None or state.startswith(("57P", "53", "08"))


def alembic_config(connection: Connection | None = None, scripts: Path = SCRIPTS) -> Config:
    """Return Alembic's configuration, with the connection to use."""
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection, scripts: Path) -> None:
    command.upgrade(alembic_config(connection, scripts), "head")
    connection.commit()
