"""Commands as the dispatcher hands them over, and a stranger at the broker who counts what goes out."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiomqtt
from aiokafka import AIOKafkaProducer

from gateway.stack.polling import wait_until
from schemas.dr.commands import Command, event_command, restore_command
from schemas.records.commands import CommandRecord, DeliveryEvidence, decode_delivery_evidence
from schemas.records.telemetry import encode_record
from schemas.records.topics import COMMAND_LOG, COMMANDS
from schemas.settings.blocks import KafkaSettings
from tests.support.kafka_records import read_all


def command_record_of(
    command: Command, *, lasts: float = 600, expires: float | None = None, attempt: int = 1
) -> CommandRecord:
    """One that asks for `lasts` seconds from now; `expires` seconds from now where that is not the same."""
    now = datetime.now(UTC)
    return CommandRecord(
        correlation_id=command.correlation_id,
        ven_id=command.ven_id,
        op=command.op,
        payload=command.payload,
        event_id=command.event_id,
        attempt=attempt,
        ends_at=now + timedelta(seconds=lasts) if command.op == "event" else None,
        expires_at=now + timedelta(seconds=lasts if expires is None else expires),
    )


def event(ven_id: str, event_id: str = "evt-1", **given: Any) -> CommandRecord:
    return command_record_of(event_command(ven_id, event_id, 1.5, 600), **given)


def restore(ven_id: str, event_id: str = "evt-1", **given: Any) -> CommandRecord:
    return command_record_of(restore_command(ven_id, event_id), **given)


async def publish_commands(
    kafka: KafkaSettings, commands: Sequence[CommandRecord | bytes], key: bytes | None = None
) -> None:
    """Put commands in the log, in order; bytes as they are."""
    async with AIOKafkaProducer(bootstrap_servers=kafka.kafka_bootstrap_servers, acks="all", linger_ms=5) as producer:
        for each in commands:
            raw = isinstance(each, bytes)
            value, name = (each, key) if isinstance(each, bytes) else (encode_record(each), each.ven_id.encode())
            await producer.send(kafka.topics(COMMANDS), value, key=key if raw else name)
        await producer.flush()


async def evidence(kafka: KafkaSettings) -> dict[str, list[DeliveryEvidence]]:
    """All that the command log says, by correlation id, in its order."""
    found: dict[str, list[DeliveryEvidence]] = {}
    for record in await read_all(kafka, kafka.topics(COMMAND_LOG)):
        each = decode_delivery_evidence(record.value or b"")
        found.setdefault(each.correlation_id, []).append(each)
    return found


async def shows(kafka: KafkaSettings, commands: Sequence[CommandRecord], state: str, seconds: float = 60) -> bool:
    """Wait until the command log has evidence of a state of all of these commands."""

    async def there() -> bool:
        found = await evidence(kafka)
        return all(state in {each.state for each in found.get(one.correlation_id, ())} for one in commands)

    return await wait_until(there, seconds, every=0.2)


class Witness:
    """What went out to some VENs, in the order of its arrival."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.more = asyncio.Event()

    @property
    def times(self) -> Counter[str]:
        """How often each command went out, by correlation id."""
        return Counter(message["correlationId"] for message in self.messages)

    async def saw(self, commands: Sequence[CommandRecord], seconds: float = 60) -> bool:
        """Wait until each of these went out at least once."""
        return await wait_until(lambda: all(each.correlation_id in self.times for each in commands), seconds)


@asynccontextmanager
async def witness(host: str, port: int, site: str) -> AsyncIterator[Witness]:
    """Have one inside for the VENs whose id begins so."""
    seen = Witness()
    async with aiomqtt.Client(host, port) as client:
        await client.subscribe("ven/cmd/+", qos=1)

        async def watch() -> None:
            async for message in client.messages:
                if str(message.topic).startswith(f"ven/cmd/{site}") and not message.retain:
                    seen.messages.append(json.loads(bytes(message.payload)))
                    seen.more.set()

        watching = asyncio.create_task(watch())
        try:
            yield seen
        finally:
            watching.cancel()
            await asyncio.wait({watching})
