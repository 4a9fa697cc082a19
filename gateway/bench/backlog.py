"""Where a backlog lies, and how far the live totals and the rows have come with it."""

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
from gateway.stack.polling import until
from runtime.database import Pool
from schemas.base.errors import GatewayError

_LOOK_SECONDS = 60
_RECEIVED = "gateway_messages_received_total"
_NEWEST_ROW = "SELECT max(reading_received_at) FROM ven_status"


@dataclass(frozen=True, slots=True)
class BacklogSample:
    """One look; `at` and `live_as_of` are in seconds since 1970, ages by receipt of the newest that is in it."""

    at: float
    received: int
    stored: int
    live_as_of: float
    live_age_s: float
    rows_age_s: float

    @property
    def progress(self) -> tuple[int, int]:
        """What grows as long as anything moves."""
        return self.received, self.stored


class Backlog:
    """Looks at a system that takes the samples of homes whose ids begin with `prefix`, and from now on no others."""

    def __init__(self, env: BenchEnvironment, pool: Pool, prefix: str) -> None:
        self._system = env.system
        self._pool = pool
        self._prefix = prefix
        self._before = 0

    async def begin(self) -> None:
        """Count what the bridge receives from now on."""
        async with _client() as client:
            self._before = await self._received(client)

    async def stored(self) -> int:
        """How many samples are committed."""
        number: int = await self._pool.fetchval(STORED, self._prefix + "-", self._prefix + ".")
        return number

    async def sample(self) -> BacklogSample:
        """Look at all of it, as nearly at once as processes answer that may stand still for most of the time.

        What is stored comes before what was received: no more is stored than the bridge has.
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
        """How many records of the log each role has before it."""
        pipeline = PipelineMonitor(self._system.kafka, self._pool)
        following = asyncio.create_task(pipeline.run())
        try:
            if not await until(lambda: pipeline.latest is not None, _LOOK_SECONDS) or pipeline.latest is None:
                raise GatewayError("the log does not say what waits in it")
            return {one.role: one.records or 0 for one in pipeline.latest.waiting}
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def _received(self, client: httpx.AsyncClient) -> int:
        """How many messages the bridge has taken from MQTT; what came again after a reconnect counts again."""
        text = (await client.get(f"{self._system.workers['bridge'].health}/metrics")).raise_for_status().text
        families = text_string_to_metric_families(text)
        counts = (sample.value for family in families for sample in family.samples if sample.name == _RECEIVED)
        return int(sum(counts))


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, timeout=_LOOK_SECONDS)
