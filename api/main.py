"""The API process."""

import uvicorn

from api.app import ApiConfig, make_app


def serve_api(config: ApiConfig) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first."""
    uvicorn.run(
        make_app(config),
        host=config.api.api_host,
        port=config.api.api_port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
