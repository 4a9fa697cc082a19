"""How all processes reach PostgreSQL."""

from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from runtime.database_tls import database_tls, diagnose_database_tls
from schemas.settings.blocks import DatabaseSettings, SettingsError

# Generic for the type checker only.
if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
    PooledConnection = PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool
    PooledConnection = PoolConnectionProxy

DATABASE_OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,  # a deadlock: the other transaction continued
)
"""Errors that a retry may cure: the server is down, stopping, starting or overloaded, or the rows are locked."""
DATABASE_ERRORS = (*DATABASE_OUTAGES, asyncpg.PostgresError)
"""All errors of a statement, those that a retry does not cure included."""

# The server gives up after the client has, so that the client tells what it was.
_SERVER_LATER_SECONDS = 1
_LOOK_SECONDS = 5


def connect_options(settings: DatabaseSettings, application: str) -> dict[str, Any]:
    """Return the arguments of asyncpg.connect and asyncpg.create_pool.

    A connection can die without a word, and then the server waits for a client that is gone, with a transaction open
    and its rows locked. With limits of the server's own others wait for those rows no longer than `db_timeout`, about.

    Raises:
        SettingsError: a file for TLS cannot be used.
    """
    limit = str(round((settings.db_timeout + _SERVER_LATER_SECONDS) * 1000))
    return {
        "host": settings.db_host,
        "port": settings.db_port,
        "user": settings.db_user,
        "password": settings.db_password.get_secret_value(),
        "database": settings.db_name,
        "ssl": database_tls(settings),
        "timeout": settings.db_timeout,
        "command_timeout": settings.db_timeout,
        "server_settings": {
            "application_name": application,
            "timezone": "UTC",
            "jit": "off",
            "statement_timeout": limit,
            "idle_in_transaction_session_timeout": limit,
        },
    }


async def check_database_tls(settings: DatabaseSettings, application: str) -> None:
    """Look at the start whether the database and we trust one another, where the settings ask for TLS.

    One that is away is no matter here: it is waited for. What is wrong with certificates waits for a person.

    Raises:
        SettingsError: they do not; the message names the setting.
    """
    if settings.db_sslmode in ("disable", "prefer"):
        return
    options = connect_options(settings, application) | {"timeout": min(settings.db_timeout, _LOOK_SECONDS)}
    try:
        connection = await asyncpg.connect(**options)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        refused = diagnose_database_tls(error)
        if refused is not None:
            where = f"{settings.db_host}:{settings.db_port}"
            raise SettingsError(f"{where}: {refused}") from None
    else:
        await connection.close()
