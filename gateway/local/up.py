"""`gateway up`: everything but a fleet, until Ctrl-C."""

import asyncio
import shlex
from pathlib import Path

from rich.console import Console

from gateway.local.system import System
from gateway.stack import MqttBroker


async def run_up(data: Path, mqtt: MqttBroker, stop: asyncio.Event) -> None:
    """Bring everything up, print the addresses, and keep it running until `stop`."""
    console = Console()
    system = System(data, mqtt=mqtt, progress=lambda line: console.print(line, highlight=False))
    async with system.until(stop) as up:
        if not up:
            return
        console.print("\n[bold]Everything is up.[/bold]")
        for name, where in _table(system):
            console.print(f"  {name:17} {where}", highlight=False, soft_wrap=True, markup=False)
        settings = shlex.quote(str(system.stack.data / "gateway.env"))
        for line in (
            f"The servers are in {system.stack.data / 'endpoints.json'}, and as settings in gateway.env beside it.",
            f"Other commands take them from there: set -a; . {settings}; set +a",
            *(
                ["The API asks for a key or a token: API_AUTH or API_OIDC_ISSUER says so."]
                if system.requires_login
                else []
            ),
            "All processes answer /health/live, /health/ready and /metrics; health.json has their addresses.",
            "Ctrl-C ends it.",
        ):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
        await stop.wait()
        console.print("stopping …")


def _table(system: System) -> list[tuple[str, str | int]]:
    """Where to look: more than endpoints.json holds, whose keys others rely on."""
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
