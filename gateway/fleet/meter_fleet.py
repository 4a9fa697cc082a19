"""Publishes one meter of each kind, and records what must become of every message that the broker accepts."""

import asyncio
import functools
import time
from collections import Counter

from gateway.fleet.home import Home
from gateway.fleet.meters import Meter, MeterKind, MeterMessage, Row
from gateway.fleet.options import FleetOptions
from gateway.fleet.publisher import Publisher

_DRAIN_S = 15.0


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
            last = int(time.time())
            while not stop.is_set():
                now = int(time.time())
                for second in range(last, now):
                    await self._publish(publisher, second)
                last = now
                await asyncio.wait({asyncio.ensure_future(stop.wait())}, timeout=0.5)
            await publisher.drain(_DRAIN_S)

    async def _publish(self, publisher: Publisher, second: int) -> None:
        for meter in self._meters:
            for message in meter.at(second):
                await publisher.wait_for_capacity()
                accepted = functools.partial(self._accept, meter.ven_id, message)
                publisher.send(self._options.metering_topic, message.payload, accepted)

    def _accept(self, ven_id: str, message: MeterMessage) -> None:
        self.rows[ven_id] |= {row.time: row for row in message.rows}
        if message.rejected is not None:
            self.rejected[ven_id, message.rejected] += 1
