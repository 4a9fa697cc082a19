"""The jobs of DR events on real servers."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from schemas.settings.blocks import DatabaseSettings, KafkaSettings
from tests.support.dr_harness import DrHarness, dr_harness


@pytest_asyncio.fixture
async def dr(
    request: pytest.FixtureRequest, kafka: KafkaSettings, database: DatabaseSettings
) -> AsyncIterator[DrHarness]:
    """No VEN and no event; a test may parametrize the settings of the dispatcher."""
    async with dr_harness(kafka, database, **getattr(request, "param", {})) as harness:
        yield harness


@pytest_asyncio.fixture
async def active_event(dr: DrHarness) -> None:
    """The event `evt-1` is active, and the VEN `a` has its command."""
    await dr.start_event()
