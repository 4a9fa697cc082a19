"""`gateway bridge`, `gateway streams` and `gateway api`."""

from typing import Annotated

import typer

from runtime.logs import configure_logging
from runtime.process import run
from streams.roles import StreamRole

# After the time for draining, a process may take this long to close its connections.
CLOSE_SECONDS = 1.0


def bridge() -> None:
    """Run the bridge between MQTT and Kafka."""
    from bridge.main import BridgeConfig, run_bridge

    config = BridgeConfig.load()
    run("bridge", lambda stop: run_bridge(config, stop), grace=config.bridge.shutdown_timeout + CLOSE_SECONDS)


def streams(
    role: Annotated[
        StreamRole | None, typer.Argument(help="Run this role; without it, all three as processes.")
    ] = None,
) -> None:
    """Run one stream role, or all three of them.

    validate checks raw messages, sink stores them in PostgreSQL, and live computes the live totals.
    """
    if role is None:
        from gateway.processes.role_supervisor import run_all_roles

        run("streams", run_all_roles)
        return
    from streams.config import StreamsConfig
    from streams.main import run_role

    config = StreamsConfig.load(role)
    grace = config.streams.shutdown_timeout + CLOSE_SECONDS
    run(f"streams-{role}", lambda stop: run_role(config, stop), grace=grace)


def api() -> None:
    """Run the REST API, the live feed and the operations page."""
    from api.config import ApiConfig
    from api.main import serve_api

    config = ApiConfig.load()
    configure_logging("api")
    serve_api(config)
