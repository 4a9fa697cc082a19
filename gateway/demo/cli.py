"""`gateway demo`."""

from typing import Annotated

import typer

from gateway.interruptible import run_until_interrupted
from gateway.local.cli import DataFolder, MqttBrokerName
from schemas.base.errors import GatewayError


def demo(
    vens: Annotated[int, typer.Option(min=1, max=20_000, help="Number of simulated homes.")] = 200,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two samples of a home.")] = 5.0,
    seconds: Annotated[float | None, typer.Option(min=1, help="Duration. Without it, run until Ctrl-C.")] = None,
    data: DataFolder = None,
    mqtt: MqttBrokerName = "auto",
    meters: Annotated[bool, typer.Option(help="Add one irregular meter of each kind.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Run everything on this machine with a simulated fleet, a DR event and a live summary.

    At the end it compares what the fleet published with what is stored.
    It exits with 1 if a message was lost, duplicated or changed.
    Without --data, all data is deleted.
    """
    from gateway.demo.run import DemoOptions, run_demo

    options = DemoOptions(vens, interval, seconds, data, mqtt, meters, as_json)
    if not run_until_interrupted(lambda stop: run_demo(options, stop)):
        raise GatewayError("Reconciliation failed: messages were lost, duplicated or changed (see above).")
