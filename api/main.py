"""The API process."""

import asyncio
import socket

from api.access.opening import check_that_it_may_listen
from api.app import ApiConfig, make_app
from api.open_files import allow_clients
from api.serving import Server
from runtime import database, log_security
from runtime.database_tls import database_tls
from runtime.log_security import log_tls
from runtime.process_end import may_end_process
from schemas.errors import GatewayError


def serve_api(config: ApiConfig) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first.

    Raises:
        GatewayError: the address cannot be listened on, nobody could say there who they are, certificates or logins
            are wrong, ours or those of the servers, or a task ended that the API cannot work without.
    """
    # Here rather than in the middle of serving.
    database_tls(config.database)
    log_tls(config.kafka)
    asyncio.run(_check_trust(config))
    host, port = config.api.api_host, config.api.api_port
    asyncio.run(check_that_it_may_listen(host, config.access, config.database))
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise GatewayError(f"cannot listen on {host}:{port}: {error.strerror}; set API_HOST and API_PORT") from None
    allow_clients(config.api.api_feed_clients)
    may_end_process()
    server = Server(make_app(config), host=host, port=port, timeout_graceful_shutdown=5)
    server.run()
    if server.failure is not None:
        raise server.failure


async def _check_trust(config: ApiConfig) -> None:
    await database.check_trust(config.database, "gateway-api")
    await log_security.check_trust(config.kafka)
