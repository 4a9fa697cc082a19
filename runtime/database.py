"""Connection options and errors of PostgreSQL for all processes."""

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
    asyncpg.TransactionRollbackError,  # a deadlock, which the other transaction survived
)
"""Errors that a retry may cure: the server is down, stopping, starting or overloaded, or the rows are locked."""
DATABASE_ERRORS = (*DATABASE_OUTAGES, asyncpg.PostgresError)
"""All errors of a statement, also those that a retry does not cure."""

# The server times out after the client, so that the client reports its own timeout.
_SERVER_EXTRA_SECONDS = 1
_CHECK_SECONDS = 5


def connect_options(settings: DatabaseSettings, application: str) -> dict[str, Any]:
    """Return the arguments of asyncpg.connect and asyncpg.create_pool.

    If a client disappears without closing its connection, the server would keep its transaction open and its rows
    locked. The server's own timeouts end that after about `db_timeout`.

    Raises:
        SettingsError: a file for TLS cannot be used.
    """
    limit = str(round((settings.db_timeout + _SERVER_EXTRA_SECONDS) * 1000))
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
    """Check the certificates of PostgreSQL and of ours at start, if the settings require TLS.

    An unreachable server is no error: the process waits for it. A wrong certificate needs a person.

    Raises:
        SettingsError: a certificate is refused; the message names the setting.
    """
    if settings.db_sslmode in ("disable", "prefer"):
        return
    options = connect_options(settings, application) | {"timeout": min(settings.db_timeout, _CHECK_SECONDS)}
    try:
        connection = await asyncpg.connect(**options)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        if refusal := diagnose_database_tls(error):
            raise SettingsError(f"{settings.db_host}:{settings.db_port}: {refusal}") from None
    else:
        await connection.close()
