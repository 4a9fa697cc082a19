"""The fake broker, running."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.gateway.fleet.fake_broker import FakeBroker


@pytest.fixture
async def broker() -> AsyncIterator[FakeBroker]:
    async with FakeBroker().serving() as broker:
        yield broker
