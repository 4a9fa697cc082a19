"""The fleet: homes that measure when their turn comes, over a few shared connections, with a ledger of it all."""

import asyncio
import functools
import logging
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from gateway.fleet import payloads
from gateway.fleet.accepted import Accepted, Sample
from gateway.fleet.home import Home
from gateway.fleet.options import FleetOptions
from gateway.fleet.publisher import Outage, Publisher
from gateway.fleet.schedule import Turn, turns

logger = logging.getLogger(__name__)

_DRAIN_S = 15.0  # how long the last PUBACKs may take
_EARLY_S = 0.01  # a turn this near is taken now: waking for each would cost more than the turns
_TURNS_BEFORE_YIELD = 32
_SECOND_MS = 1000
_DAY_MS = 24 * 3600 * 1000


class Fleet:
    """A simulated fleet against any MQTT broker (3.1.1, QoS 1).

    `ledger` holds the metering samples, `snapshots` the load snapshots (their used power is the sum of their
    loads); `published` and `accepted` count metering samples.
    """

    def __init__(self, options: FleetOptions) -> None:
        self.options = options
        self.ledger = Accepted()
        self.snapshots = Accepted()
        self._homes = [Home(options.seed, index) for index in range(options.vens)]
        self._ven_ids = [options.ven_id(index) for index in range(options.vens)]
        self._numbers = [0] * options.vens
        # Devices stamp whole seconds; milliseconds only where whole seconds could not tell two samples apart.
        self._whole_seconds = min(options.interval_ms, options.loads_interval_ms) >= _SECOND_MS

    @property
    def published(self) -> int:
        """How many metering samples were handed to a connection."""
        return self.ledger.published

    @property
    def accepted(self) -> int:
        """How many metering samples the broker acknowledged."""
        return len(self.ledger)

    async def run(self, *, stop: asyncio.Event, messages: int | None = None) -> None:
        """Publish until `stop`, or until `messages` metering samples are out; then wait for the last PUBACKs.

        Raises:
            BrokerRefusedError: when the broker does not let the fleet in.
        """
        options, outage = self.options, Outage()
        async with AsyncExitStack() as stack:
            publishers = [
                await stack.enter_async_context(
                    Publisher(
                        options.host,
                        options.port,
                        f"{options.prefix}-link-{n}",
                        username=options.username,
                        password=options.password,
                        outage=outage,
                    )
                )
                for n in range(options.connections)
            ]
            await _unless(stop, self._publish(publishers, messages))
            missing = sum(await asyncio.gather(*(publisher.drain(_DRAIN_S) for publisher in publishers)))
            if missing:
                logger.warning("no PUBACK for %d messages after %g s", missing, _DRAIN_S)

    async def _publish(self, publishers: list[Publisher], messages: int | None) -> None:
        loop = asyncio.get_running_loop()
        begun, begun_ms, rate = loop.time(), self._begin_ms(messages), self.options.rate
        last = None if messages is None else self.published + messages
        for n, turn in enumerate(turns(self.options)):
            if self.published == last:
                return
            ahead = begun + (turn.offset_ms / _SECOND_MS if rate is None else n / rate) - loop.time()
            if ahead > _EARLY_S:
                await asyncio.sleep(ahead)
            elif n % _TURNS_BEFORE_YIELD == 0:
                await asyncio.sleep(0)
            publisher = publishers[turn.ven % len(publishers)]
            await publisher.room()
            self._take(turn, begun_ms + turn.offset_ms, publisher)

    def _take(self, turn: Turn, time_ms: int, publisher: Publisher) -> None:
        home, ven_id = self._homes[turn.ven], self._ven_ids[turn.ven]
        stamp = time_ms // _SECOND_MS if self._whole_seconds else time_ms
        key_ms = stamp * _SECOND_MS if self._whole_seconds else stamp
        meter = home.at(key_ms / _SECOND_MS)
        snapshot_topic = self.options.snapshot_topic
        if turn.snapshot and snapshot_topic is not None:
            ledger, topic = self.snapshots, snapshot_topic
            payload = payloads.load_snapshot(ven_id, home, meter, stamp=stamp)
        else:
            ledger, topic = self.ledger, self.options.metering_topic
            self._numbers[turn.ven] += 1
            baseline_kw = home.baseline_kw(key_ms / _SECOND_MS)
            payload = payloads.metering(
                ven_id, home, meter, stamp=stamp, baseline_kw=baseline_kw, number=self._numbers[turn.ven]
            )
        ticket = ledger.add(ven_id, key_ms, Sample(meter.used_kw, len(meter.circuits_kw)))
        publisher.send(topic.replace("{ven_id}", ven_id), payload, functools.partial(ledger.accept, ticket))

    def _begin_ms(self, messages: int | None) -> int:
        """The time of the first turn, Unix milliseconds."""
        options, now_ms = self.options, int(time.time() * _SECOND_MS)
        if options.rate is None:
            return now_ms
        if options.start is not None:
            return int(options.start.timestamp() * _SECOND_MS)
        if messages is None:
            return now_ms - _DAY_MS
        return now_ms - messages * options.interval_ms // options.vens


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do `work` to its end, or until `stop` is set."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait((working, stopping))
    if not working.cancelled():
        working.result()
