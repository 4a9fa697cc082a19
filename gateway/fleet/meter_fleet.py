"""Publishes one meter of each kind, and records what must become of every message that the broker accepts."""

import asyncio
import functools
import time
from collections import Counter

from gateway.fleet.fleet import run_until
from gateway.fleet.home import Home
from gateway.fleet.meters import Meter, MeterKind, MeterMessage, Row
from gateway.fleet.options import FleetOptions
from gateway.fleet.publisher import DRAIN_S, Publisher

_WAKE_SECONDS = 0.5


class MeterFleet:
    """One meter of each kind, with the ids `{prefix}-meter-{kind}`.

    `rows` are the accepted readings by VEN, `rejected` the expected dead letters by VEN and reason.
    """

    def __init__(self, options: FleetOptions) -> None:
        self._options = options
        self._meters = [
            Meter(f"{options.prefix}-meter-{kind}", kind, Home(options.seed, -1 - index))
            for index, kind in enumerate(MeterKind)
        ]
        self.rows: dict[str, dict[int, Row]] = {meter.ven_id: {} for meter in self._meters}
        self.rejected: Counter[tuple[str, str]] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Publish second by second until `stop`; then wait for the last PUBACKs."""
        options = self._options
        async with Publisher(
            options.host,
            options.port,
            f"{options.prefix}-meters",
            username=options.username,
            password=options.password,
        ) as publisher:
            await run_until(stop, self._publish(publisher))
            await publisher.drain(DRAIN_S)

    async def _publish(self, publisher: Publisher) -> None:
        last = int(time.time())
        while True:
            now = int(time.time())
            for second in range(last, now):
                await self._publish_second(publisher, second)
            last = now
            await asyncio.sleep(_WAKE_SECONDS)

    async def _publish_second(self, publisher: Publisher, second: int) -> None:
        for meter in self._meters:
            for message in meter.at(second):
                await publisher.wait_for_capacity()
                accepted = functools.partial(self._accept, meter.ven_id, message)
                publisher.send(self._options.metering_topic, message.payload, accepted)

    def _accept(self, ven_id: str, message: MeterMessage) -> None:
        self.rows[ven_id] |= {row.time: row for row in message.rows}
        if message.rejected is not None:
            self.rejected[ven_id, message.rejected] += 1
