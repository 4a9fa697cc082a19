"""The baseline: the least Python that moves samples from MQTT to the same tables.

paho receives and acknowledges, msgspec decodes, COPY stores. There is no Kafka, no validation, no deduplication and no
rollup, and it loses messages when it ends. It serves for comparison only.
"""

import asyncio
import socket
import sys
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec
import uvloop
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from runtime.database import connect_options
from schemas.settings.blocks import DatabaseSettings
from streams.sink.copy_encoding import LOAD_COLUMNS
from streams.sink.telemetry_store import READING_COLUMNS

TOPIC = "baseline/metering"
_BATCH = 1000
_MILLISECONDS = 1e11


async def run_baseline(host: str, port: int, database: DatabaseSettings) -> None:
    """Store the samples of `TOPIC` until the process is killed; prints a line once it is subscribed."""
    connection = await asyncpg.connect(**connect_options(database, "baseline"))
    arrived, payloads = asyncio.Event(), []
    client = Client(CallbackAPIVersion.VERSION2, client_id="baseline", clean_session=False)

    def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
        payloads.append(message.payload)
        arrived.set()

    def on_connect(*_: Any) -> None:
        client.subscribe(TOPIC, 1)

    def on_subscribe(*_: Any) -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    client.on_message, client.on_connect, client.on_subscribe = on_message, on_connect, on_subscribe
    client.connect(host, port)
    loop = asyncio.get_running_loop()
    connected: socket.socket = client.socket()  # type: ignore[assignment]

    def read() -> None:
        client.loop_read()
        if client.want_write():
            client.loop_write()

    loop.add_reader(connected, read)
    while True:
        arrived.clear()
        await arrived.wait()
        while payloads:
            batch = payloads[:_BATCH]
            del payloads[:_BATCH]
            documents = [msgspec.json.decode(payload) for payload in batch]
            readings = [_reading(document) for document in documents]
            loads = [_load(document, load) for document in documents for load in document["loads"]]
            async with connection.transaction():
                await connection.copy_records_to_table("telemetry_readings", columns=READING_COLUMNS, records=readings)
                await connection.copy_records_to_table("telemetry_loads", columns=LOAD_COLUMNS, records=loads)
            client.loop_misc()


def _reading(document: dict[str, Any]) -> tuple[Any, ...]:
    return (
        document["venId"],
        _time(document),
        datetime.now(UTC),
        document["usedPowerKw"],
        document["shedPowerKw"],
        document["requestedReductionKw"],
        document["baselinePowerKw"],
        document.get("batterySoc"),
        document["panelAmperageRating"],
        document["panelVoltage"],
        document["panelMaxKw"],
        document["currentAmps"],
        document["panelUtilizationPercent"],
        document["message_num"],
        document["eventId"],
        None,  # no other fields, no digest, no clock skew
        None,
        None,
    )


def _time(document: dict[str, Any]) -> datetime:
    """Return the time of a sample, given in Unix seconds or milliseconds."""
    unix = document["timestamp"]
    return datetime.fromtimestamp(unix if unix < _MILLISECONDS else unix / 1000, UTC)


def _load(document: dict[str, Any], load: dict[str, Any]) -> tuple[Any, ...]:
    return (
        document["venId"],
        _time(document),
        load["id"],
        load["capacityKw"],
        load["currentPowerKw"],
        load["shedCapabilityKw"],
        load["priority"],
        load["enabled"],
        load["name"],
        load["type"],
        None,
    )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run_baseline(sys.argv[1], int(sys.argv[2]), DatabaseSettings.load()))
