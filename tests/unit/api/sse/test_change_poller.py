"""The change poller continues after an unexpected error."""

import asyncio

import pytest

from api.sse.change_poller import _Poll, _repeat


async def test_a_poll_that_fails_is_logged_and_repeated(caplog: pytest.LogCaptureFixture) -> None:
    polls, again = 0, asyncio.Event()

    async def poll() -> None:
        nonlocal polls
        polls += 1
        if polls == 1:
            raise ValueError("an unexpected row")
        again.set()

    task = asyncio.create_task(_repeat(_Poll("rows", poll, 0.01)))
    async with asyncio.timeout(30):
        await again.wait()
    task.cancel()
    assert "the live feed cannot poll rows" in caplog.text
