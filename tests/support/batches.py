"""Helpers for tests of batches: an app with one agent, and what its group has committed."""

from typing import Any

from gateway.stack.polling import wait_until
from schemas.settings.blocks import KafkaSettings, StreamsSettings
from streams.engine.app import make_app
from tests.support.servers import committed

ROLE = "batches"
WAIT = 60


def app_of(kafka: KafkaSettings) -> Any:
    return make_app(ROLE, kafka, StreamsSettings())


def values(start: int, stop: int) -> list[bytes]:
    return [b"%d" % number for number in range(start, stop)]


async def until_committed(kafka: KafkaSettings, topic: str, offset: int, partition: int = 0) -> bool:
    async def reached() -> bool:
        return (await committed(kafka, ROLE, topic)).get(partition) == offset

    return await wait_until(reached, WAIT)
