"""Closes the first connection of an aiokafka client that is cancelled while it starts; aiokafka does not.

Otherwise the warning of the garbage collector fails an unrelated test later.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest
from aiokafka import client


class _Start:
    """The connections that a client makes while it starts."""

    def __init__(self) -> None:
        self.connections: list[Any] = []
        self.over = False


_start: ContextVar[_Start | None] = ContextVar("start", default=None)


@contextmanager
def closing_cancelled_connections() -> Iterator[None]:
    """Close such connections inside the block."""
    create, bootstrap = client.create_conn, client.AIOKafkaClient.bootstrap

    async def create_and_note(*args: Any, **given: Any) -> Any:
        made, start = await create(*args, **given), _start.get()
        # Tasks of a started client have the same context.
        if start is not None and not start.over:
            start.connections.append(made)
        return made

    async def bootstrap_or_close(self: Any) -> None:
        start = _Start()
        token = _start.set(start)
        try:
            await bootstrap(self)
        except BaseException:
            for connection in start.connections:
                connection.close()
            raise
        finally:
            start.over = True
            start.connections.clear()
            _start.reset(token)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "create_conn", create_and_note)
        patch.setattr(client.AIOKafkaClient, "bootstrap", bootstrap_or_close)
        yield
