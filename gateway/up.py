"""`gateway up`: everything but a fleet, until Ctrl-C."""

import asyncio
from pathlib import Path
from typing import Literal

from rich.console import Console

from gateway.system import System


async def run_up(data: Path, mqtt: Literal["auto", "mosquitto", "artemis"], stop: asyncio.Event) -> None:
    """Bring everything up, print the addresses, and keep it running until `stop`."""
    console = Console()
    system = System(data, mqtt=mqtt, progress=lambda line: console.print(line, highlight=False))
    async with system.until(stop) as up:
        if not up:
            return
        console.print("\n[bold]Everything is up.[/bold]")
        for name, where in system.endpoints().items():
            console.print(f"  {name:10} {where}", highlight=False, soft_wrap=True, markup=False)
        console.print(f"The same is in {system.stack.data / 'endpoints.json'}. Ctrl-C ends it.", highlight=False)
        await stop.wait()
        console.print("stopping …")
