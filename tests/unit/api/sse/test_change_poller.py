"""What looks for changes goes on, whatever a look meets."""

import asyncio

import pytest

from api.sse.change_poller import _keep_looking, _Look


async def test_a_look_that_fails_by_a_mistake_is_told_and_taken_again(caplog: pytest.LogCaptureFixture) -> None:
    looks, again = 0, asyncio.Event()

    async def look() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise ValueError("a row that nobody thought of")
        again.set()

    task = asyncio.create_task(_keep_looking(_Look("rows", look, 0.01)))
    async with asyncio.timeout(30):
        await again.wait()
    task.cancel()
    assert "the feed has no rows" in caplog.text
