"""The simulated fleet: homes publish over a few shared connections, and ledgers record every sample."""

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from gateway.fleet import payloads
from gateway.fleet.behaviours import Behaviour, Generation
from gateway.fleet.device import NO_EVENT, EventReport
from gateway.fleet.downlink import Downlink
from gateway.fleet.dr_ledger import DrLedger, ReportedSample
from gateway.fleet.home import Home
from gateway.fleet.options import SECOND_MS, FleetOptions
from gateway.fleet.publish_ledger import PublishLedger, Sample
from gateway.fleet.publisher import DRAIN_S, Outage, Publisher
from gateway.fleet.schedule import Slot, slots

logger = logging.getLogger(__name__)

_EARLY_S = 0.01  # publish this early instead of sleeping: waking up for each slot would cost more than publishing
_SLOTS_BEFORE_YIELD = 32


class Message(NamedTuple):
    """A message to publish once; call `accepted` when its PUBACK arrives."""

    topic: str
    payload: bytes
    accepted: Callable[[], None]


class Measurement(NamedTuple):
    """A home's payload for one time (Unix milliseconds), and its entries for the ledgers."""

    ven_id: str
    time_ms: int
    snapshot: bool
    payload: bytes
    sample: Sample
    report: EventReport

    def at(self, time_ms: int) -> "Measurement":
        """Return the measurement with another time; only for fleets whose timestamps are milliseconds."""
        payload = self.payload.replace(b"%d" % self.time_ms, b"%d" % time_ms)
        return self._replace(time_ms=time_ms, payload=payload)


class Fleet:
    """A simulated fleet for any MQTT broker (3.1.1, QoS 1).

    `ledger` records metering samples, `snapshots` load snapshots (their used power is the sum of their loads), and `dr`
    the commands that homes received and the acks and samples they sent. `published` and `accepted` count metering
    samples.
    """

    def __init__(self, options: FleetOptions) -> None:
        self.options = options
        self.ledger = PublishLedger()
        self.snapshots = PublishLedger()
        self.dr = DrLedger()
        self._homes = [Home(options.seed, index) for index in range(options.vens)]
        self._ven_ids = [options.ven_id(index) for index in range(options.vens)]
        self._numbers = [0] * options.vens
        self._downlink = Downlink(options, self._homes, self.dr, self._restart) if options.receives_commands else None
        self._whole_seconds = options.whole_seconds

    @property
    def published(self) -> int:
        """How many metering samples were published."""
        return self.ledger.published

    @property
    def accepted(self) -> int:
        """How many metering samples the broker acknowledged."""
        return len(self.ledger)

    @property
    def behaviours(self) -> dict[str, Behaviour]:
        """The behaviour of each VEN; empty when the fleet receives no commands."""
        return {} if self._downlink is None else dict(zip(self._ven_ids, self._downlink.behaviours, strict=True))

    @property
    def generations(self) -> dict[str, Generation]:
        """The agent generation of each VEN; empty when the fleet receives no commands."""
        return {} if self._downlink is None else dict(zip(self._ven_ids, self._downlink.generations, strict=True))

    def cut_power(self, ven_id: str) -> None:
        """Simulate a power cut: a VEN loses its event and restarts its message numbers."""
        if self._downlink is not None:
            self._downlink.cut_power(self._ven_ids.index(ven_id))

    async def run(self, *, stop: asyncio.Event, messages: int | None = None) -> None:
        """Publish until `stop`, or until `messages` metering samples are published; then wait for the last PUBACKs.

        Raises:
            BrokerRefusedError: the broker refused the connection.
        """
        options, outage, downlink = self.options, Outage(), self._downlink
        async with AsyncExitStack() as stack:
            publishers = [
                await stack.enter_async_context(
                    Publisher(
                        options.host,
                        options.port,
                        f"{options.prefix}-connection-{n}",
                        username=options.username,
                        password=options.password,
                        outage=outage,
                        subscribe=() if downlink is None else downlink.topics(n),
                        on_message=None if downlink is None else downlink.receive,
                    )
                )
                for n in range(options.connections)
            ]
            await run_until(stop, self._publish_and_answer(publishers, messages))
            missing = sum(await asyncio.gather(*(publisher.drain(DRAIN_S) for publisher in publishers)))
            if missing:
                logger.warning(
                    "no PUBACK for %d messages after %g s", missing, DRAIN_S, extra={"action": "fleet_unacknowledged"}
                )

    async def _publish_and_answer(self, publishers: list[Publisher], messages: int | None) -> None:
        if self._downlink is None:
            await self._publish(publishers, messages)
            return
        sending = asyncio.create_task(self._downlink.send_acks(publishers))
        try:
            await self._publish(publishers, messages)
        finally:
            await self._downlink.close(sending, DRAIN_S)

    def _restart(self, ven: int) -> None:
        self._numbers[ven] = 0

    async def _publish(self, publishers: list[Publisher], messages: int | None) -> None:
        loop = asyncio.get_running_loop()
        begun, begun_ms, rate = loop.time(), self._begin_ms(messages), self.options.rate
        # A VEN that measures when it sends may do so several times a second, and no two of its times are the same.
        self._whole_seconds = self.options.whole_seconds and begun_ms is not None
        sent_ms = [0] * self.options.vens
        last = None if messages is None else self.published + messages
        for n, slot in enumerate(slots(self.options)):
            if self.published == last:
                return
            ahead = begun + (slot.offset_ms / SECOND_MS if rate is None else n / rate) - loop.time()
            if ahead > _EARLY_S:
                await asyncio.sleep(ahead)
            elif n % _SLOTS_BEFORE_YIELD == 0:
                await asyncio.sleep(0)
            publisher = publishers[slot.ven % len(publishers)]
            await publisher.wait_for_capacity()
            if begun_ms is None:
                time_ms = sent_ms[slot.ven] = max(int(time.time() * SECOND_MS), sent_ms[slot.ven] + 1)
            else:
                time_ms = begun_ms + slot.offset_ms
            publisher.send(*self.message(slot, time_ms))

    def message(self, slot: Slot, time_ms: int) -> Message:
        """Measure at `time_ms` (Unix milliseconds) and record the sample in the ledgers."""
        return self.record(self.measure(slot, time_ms))

    def measure(self, slot: Slot, time_ms: int) -> Measurement:
        """Return the measurement of the slot's home at `time_ms` (Unix milliseconds)."""
        home, ven_id = self._homes[slot.ven], self._ven_ids[slot.ven]
        stamp = time_ms // SECOND_MS if self._whole_seconds else time_ms
        key_ms = stamp * SECOND_MS if self._whole_seconds else stamp
        meter, circuits, report = home.at(key_ms / SECOND_MS), home.circuits, NO_EVENT
        if self._downlink is not None:
            device, now = self._downlink.devices[slot.ven], time_ms / SECOND_MS
            meter, circuits, report = device.meter(meter, now), device.circuits, device.report(now)
        snapshot = slot.snapshot and self.options.snapshot_topic is not None
        if snapshot:
            payload = payloads.load_snapshot(ven_id, circuits, meter, stamp=stamp)
        else:
            self._numbers[slot.ven] += 1
            baseline_kw = home.baseline_kw(key_ms / SECOND_MS)
            payload = payloads.metering(
                ven_id,
                home,
                meter,
                stamp=stamp,
                baseline_kw=baseline_kw,
                number=self._numbers[slot.ven],
                circuits=circuits,
                report=report,
            )
        return Measurement(ven_id, key_ms, snapshot, payload, Sample(meter.used_kw, len(meter.circuits_kw)), report)

    def record(self, measurement: Measurement) -> Message:
        """Record a measurement in the ledgers and return its message."""
        ledger, topic = self.ledger, self.options.metering_topic
        if measurement.snapshot and self.options.snapshot_topic is not None:
            ledger, topic = self.snapshots, self.options.snapshot_topic
        ven_id, key_ms, report = measurement.ven_id, measurement.time_ms, measurement.report
        accept: Callable[[], None] = functools.partial(ledger.accept, ledger.add(ven_id, key_ms, measurement.sample))
        if self._downlink is not None and not measurement.snapshot:
            accept = _both(
                accept, self.dr.add_sample(ven_id, ReportedSample(key_ms, report.event_id, report.shed_kw)).accept
            )
        return Message(topic.replace("{ven_id}", ven_id), measurement.payload, accept)

    def _begin_ms(self, messages: int | None) -> int | None:
        """Return the time of the first slot in Unix milliseconds; None if samples are measured when they are sent."""
        options, now_ms = self.options, int(time.time() * SECOND_MS)
        if options.rate is None:
            return now_ms
        if options.start is not None:
            return int(options.start.timestamp() * SECOND_MS)
        return None if messages is None else now_ms - messages * options.interval_ms // options.vens


def _both(one: Callable[[], None], other: Callable[[], None]) -> Callable[[], None]:
    def accept() -> None:
        one()
        other()

    return accept


@asynccontextmanager
async def publishing(fleet: Fleet) -> AsyncIterator[None]:
    """Run a fleet inside the block; on exit all PUBACKs have arrived."""
    stop = asyncio.Event()
    running = asyncio.create_task(fleet.run(stop=stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def run_until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it ends or `stop` is set."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait((working, stopping))
    if not working.cancelled():
        working.result()
