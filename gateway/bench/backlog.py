"""Measures a backlog: messages received and stored, and the age of live totals and rows."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from prometheus_client.parser import text_string_to_metric_families

from api.services.pipeline_monitor import PipelineMonitor
from gateway.bench.environment import BenchEnvironment
from gateway.bench.run import STORED
from gateway.stack.polling import wait_until
from runtime.database import Pool
from schemas.base.errors import GatewayError

_LAG_SECONDS = 60
_RECEIVED = "gateway_messages_received_total"
_NEWEST_ROW = "SELECT max(reading_received_at) FROM ven_status"


@dataclass(frozen=True, slots=True)
class BacklogSample:
    """One measurement. `at` and `live_as_of` are in Unix seconds; ages are since the receipt of the newest sample."""

    at: float
    received: int
    stored: int
    live_as_of: float
    live_age_s: float
    rows_age_s: float

    @property
    def progress(self) -> tuple[int, int]:
        """The numbers that grow while the system makes progress."""
        return self.received, self.stored


class Backlog:
    """Measures a system that receives only the samples of homes whose ids begin with `prefix`."""

    def __init__(self, env: BenchEnvironment, pool: Pool, prefix: str) -> None:
        self._system = env.system
        self._pool = pool
        self._prefix = prefix
        self._before = 0

    async def begin(self) -> None:
        """Start counting the messages that the bridge receives."""
        async with _client() as client:
            self._before = await self._received(client)

    async def stored(self) -> int:
        """Return how many samples are committed."""
        number: int = await self._pool.fetchval(STORED, self._prefix + "-", self._prefix + ".")
        return number

    async def sample(self) -> BacklogSample:
        """Measure everything at nearly the same moment.

        Stored samples are counted first, so that they never exceed the received ones.
        """
        stored, newest = await self.stored(), await self._pool.fetchval(_NEWEST_ROW)
        rows_age = 0.0 if newest is None else (datetime.now(UTC) - newest).total_seconds()
        async with _client() as client:
            live = (await client.get(f"{self._system.api}/api/stats/network")).raise_for_status().json()
            received = await self._received(client) - self._before
        now = datetime.now(UTC)
        as_of = datetime.fromisoformat(live["asOf"])
        return BacklogSample(
            now.timestamp(), received, stored, as_of.timestamp(), (now - as_of).total_seconds(), max(0.0, rows_age)
        )

    async def waiting(self) -> Mapping[str, int]:
        """Return the lag of each role, in records."""
        pipeline = PipelineMonitor(self._system.kafka, self._pool)
        monitoring = asyncio.create_task(pipeline.run())
        try:
            if not await wait_until(lambda: pipeline.latest is not None, _LAG_SECONDS) or pipeline.latest is None:
                raise GatewayError("Kafka did not report the lag of the roles")
            return {role.role: role.records or 0 for role in pipeline.latest.waiting}
        finally:
            monitoring.cancel()
            with suppress(asyncio.CancelledError):
                await monitoring

    async def _received(self, client: httpx.AsyncClient) -> int:
        """Return how many messages the bridge received from MQTT, redelivered ones included."""
        text = (await client.get(f"{self._system.workers['bridge'].health}/metrics")).raise_for_status().text
        families = text_string_to_metric_families(text)
        counts = (sample.value for family in families for sample in family.samples if sample.name == _RECEIVED)
        return int(sum(counts))


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, timeout=_LAG_SECONDS)
