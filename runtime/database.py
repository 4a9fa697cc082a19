"""How all processes reach PostgreSQL."""

from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from schemas.settings import DatabaseSettings

# Generic for the type checker only.
if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
    PooledConnection = PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool
    PooledConnection = PoolConnectionProxy


def connect_options(settings: DatabaseSettings, application: str) -> dict[str, Any]:
    """Return the arguments of asyncpg.connect and asyncpg.create_pool."""
    return {
        "host": settings.db_host,
        "port": settings.db_port,
        "user": settings.db_user,
        "password": settings.db_password.get_secret_value(),
        "database": settings.db_name,
        "timeout": settings.db_timeout,
        "command_timeout": settings.db_timeout,
        "server_settings": {"application_name": application, "timezone": "UTC", "jit": "off"},
    }
