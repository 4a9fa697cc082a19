"""One topic of one partition for each test."""

import pytest
import pytest_asyncio

from schemas.records.topics import TELEMETRY
from schemas.settings.blocks import KafkaSettings
from tests.support.servers import Topics


@pytest_asyncio.fixture
async def kafka(topics: Topics) -> KafkaSettings:
    return await topics.fresh(partitions=1)


@pytest.fixture
def topic(kafka: KafkaSettings) -> str:
    return kafka.topics(TELEMETRY)
