"""The API process."""

import asyncio
import socket

from api.app import make_app
from api.auth.startup_check import check_access_at_startup
from api.config import ApiConfig
from api.http.file_limit import raise_file_limit
from api.http.server import Server
from runtime import database, kafka_security
from runtime.database_tls import database_tls
from runtime.kafka_security import kafka_tls_context
from runtime.process_end import allow_forced_exit
from schemas.base.errors import GatewayError


def serve_api(config: ApiConfig) -> None:
    """Serve until SIGTERM or SIGINT, then finish the current requests.

    Raises:
        GatewayError: the address is not available, no client could authenticate, certificates or logins are wrong, or
            a vital background task ended.
    """
    # Wrong settings fail here and not during a request.
    database_tls(config.database)
    kafka_tls_context(config.kafka)
    asyncio.run(_check_server_access(config))
    host, port = config.api.api_host, config.api.api_port
    asyncio.run(check_access_at_startup(host, config.access, config.database))
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise GatewayError(f"cannot listen on {host}:{port}: {error.strerror}; set API_HOST and API_PORT") from None
    raise_file_limit(config.api.api_feed_clients)
    allow_forced_exit()
    server = Server(make_app(config), host=host, port=port, timeout_graceful_shutdown=5)
    server.run()
    if server.failure is not None:
        raise server.failure


async def _check_server_access(config: ApiConfig) -> None:
    await database.check_database_tls(config.database, "gateway-api")
    await kafka_security.check_kafka_access(config.kafka)
