"""`gateway up`, and the options that it shares with `gateway demo`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.interruptible import run_until_interrupted

DataFolder = Annotated[Path | None, typer.Option("--data", help="Folder for the data of the servers.")]
# The same names as gateway.stack.MqttBroker, which cannot be imported without the extra `stack`.
MqttBrokerName = Annotated[
    Literal["auto", "mosquitto", "artemis"],
    typer.Option(help="MQTT broker to start; auto is mosquitto if it is installed, else ActiveMQ Artemis."),
]


def up(data: DataFolder = None, mqtt: MqttBrokerName = "auto") -> None:
    """Run everything on this machine, without a fleet, until Ctrl-C.

    Prints all addresses and writes them to endpoints.json in the data folder (default: .gateway/data).
    """
    from gateway.local.up import run_up

    folder = data or Path(".gateway/data")
    run_until_interrupted(lambda stop: run_up(folder, mqtt, stop))
