"""One system, one fleet and one browser for all tests of the page."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.page.world import CHROMIUM, PageSystem, world


@pytest_asyncio.fixture(scope="session")
async def shown(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PageSystem]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here; install the package `chromium` to test the page")
    async with world(tmp_path_factory.mktemp("page") / "data") as running:
        yield running
