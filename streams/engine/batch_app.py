"""The Faust app whose agents receive batches."""

import time
from collections.abc import Mapping
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver

from streams.engine.batch_consumer import BatchConsumer


class _Producer(driver.Producer):
    """The producer of the changelogs, idempotent like all our producers."""

    def _settings_default(self) -> Mapping[str, Any]:
        return {**super()._settings_default(), "enable_idempotence": True}


class _Transport(driver.Transport):
    Consumer = BatchConsumer
    Producer = _Producer


class _Schema(faust.Schema[Any, Any]):
    """Passes batches through undecoded, because agents make dead letters of bad input."""

    def compile(self, app: Any, **_kwargs: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001 - Faust's signature
            return app.create_event(message.key, message.value, message.headers, message)

        return decode


class BatchApp(faust.App):
    """A Faust app whose agents receive batches; `role` labels its metrics."""

    role = ""

    def _new_transport(self) -> Any:
        return _Transport(self.conf.broker_consumer, self)

    @property
    def ready(self) -> bool:
        """Whether the worker has joined its group, restored its tables and processes records."""
        recovery: Any = self.tables.recovery  # type: ignore[attr-defined]
        return bool(self.started and recovery.completed.is_set() and not self.rebalancing)

    def oldest_unfinished_seconds(self) -> float:
        """Return the age of the oldest record in progress, by its Kafka timestamp; 0 without one."""
        consumer: Any = self.consumer
        oldest = consumer.oldest_unfinished() if self.started else None
        return 0.0 if oldest is None else max(0.0, time.time() - oldest)

    def _create_directories(self) -> None:
        """Create none: tables live in memory and in their changelogs, and the file system may be read-only."""

    def batches_of(self, *topics: str) -> Any:
        """Return the channel of these topics for `@app.agent`."""
        return self.topic(*topics, schema=_Schema(key_serializer="raw", value_serializer="raw"))
