"""A producer that is cancelled while it starts."""

import asyncio
import gc
from typing import Any

import pytest
from aiokafka import client

from runtime.kafka import producer
from schemas.settings.blocks import KafkaSettings


async def test_a_producer_that_is_cancelled_while_it_starts_leaves_nothing_open(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: asyncio.Queue[Any] = asyncio.Queue()
    create = client.create_conn

    async def create_and_tell(*args: Any, **given: Any) -> Any:
        made = await create(*args, **given)
        connected.put_nowait(made)
        return made

    async def start() -> None:
        async with producer(kafka, "test"):
            pass

    monkeypatch.setattr(client, "create_conn", create_and_tell)
    starting = asyncio.create_task(start())
    connection = await connected.get()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    # aiokafka itself forgets this one; tests/support/aiokafka_connections.py closes it.
    assert not connection.connected()
    del starting
    gc.collect()  # a producer that was not stopped warns here, and that fails the test
