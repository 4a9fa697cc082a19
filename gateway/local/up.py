"""`gateway up`: runs everything except a fleet until Ctrl-C."""

import asyncio
import shlex
from pathlib import Path

from rich.console import Console

from gateway.local.system import System
from gateway.stack import MqttBroker


async def run_up(data: Path, mqtt: MqttBroker, stop: asyncio.Event) -> None:
    """Start everything, print the addresses, and run until `stop`."""
    console = Console()
    system = System(data, mqtt=mqtt, progress=lambda line: console.print(line, highlight=False))
    async with system.until(stop) as up:
        if not up:
            return
        console.print("\n[bold]Everything is up.[/bold]")
        for name, address in _addresses(system):
            console.print(f"  {name:17} {address}", highlight=False, soft_wrap=True, markup=False)
        settings = shlex.quote(str(system.stack.data / "gateway.env"))
        for line in (
            f"These addresses are in {system.stack.data / 'endpoints.json'}, and as settings in gateway.env.",
            f"To use them in other commands: set -a; . {settings}; set +a",
            *(
                ["The API requires a key or a token, because API_AUTH or API_OIDC_ISSUER is set."]
                if system.requires_login
                else []
            ),
            "All processes serve /health/live, /health/ready and /metrics; their addresses are in health.json.",
            "Press Ctrl-C to stop.",
        ):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
        await stop.wait()
        console.print("Stopping …")


def _addresses(system: System) -> list[tuple[str, str | int]]:
    """Return all addresses; endpoints.json holds fewer, because scripts rely on its keys."""
    servers = system.endpoints()
    mqtt = f"{servers.pop('mqtt_host')}:{servers.pop('mqtt_port')}"
    return [
        ("page", f"{system.api}/"),
        ("api", servers.pop("api")),
        ("API docs", f"{system.api}/docs"),
        ("mqtt", mqtt),
        *servers.items(),
        *((name, worker.health) for name, worker in system.workers.items() if name != "api"),
        ("logs", str(system.stack.logs)),
    ]
