"""Work beside the requests begins anew where it fails."""

import asyncio

import pytest

from api.services import task_restarter as lasting_module
from api.services.task_restarter import supervise
from runtime.backoff import Backoff


async def test_failed_work_is_logged_and_restarted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting_module, "Backoff", lambda: Backoff(initial_seconds=0.001))
    begun, again = 0, asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise ValueError("an unexpected error")
        again.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(supervise("counting", work))
    async with asyncio.timeout(30):
        await again.wait()
    task.cancel()
    assert "counting failed; it is started again" in caplog.text
