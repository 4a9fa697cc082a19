"""The fleet: homes that measure when their turn comes, over a few shared connections, with a ledger of it all."""

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
from gateway.fleet.home import Home
from gateway.fleet.options import FleetOptions
from gateway.fleet.publisher import Outage, Publisher
from gateway.fleet.schedule import Slot, slots
from gateway.reconciliation.dr_ledger import DrLedger, ReportedSample
from gateway.reconciliation.publish_ledger import PublishLedger, Sample

logger = logging.getLogger(__name__)

_DRAIN_S = 15.0  # how long the last PUBACKs may take
_EARLY_S = 0.01  # a turn this near is taken now: waking for each would cost more than the turns
_TURNS_BEFORE_YIELD = 32
_SECOND_MS = 1000
_DAY_MS = 24 * 3600 * 1000


class Message(NamedTuple):
    """One message of a fleet, to be published once; `accepted` is to be called when the broker has it."""

    topic: str
    payload: bytes
    accepted: Callable[[], None]


class Measured(NamedTuple):
    """What a home is about to publish, stamped `time_ms` (Unix milliseconds), and what of it goes into the books."""

    ven_id: str
    time_ms: int
    snapshot: bool
    payload: bytes
    sample: Sample
    report: EventReport

    def stamped(self, time_ms: int) -> "Measured":
        """The same at another time; for those whose stamps are milliseconds."""
        payload = self.payload.replace(b"%d" % self.time_ms, b"%d" % time_ms)
        return self._replace(time_ms=time_ms, payload=payload)


class Fleet:
    """A simulated fleet against any MQTT broker (3.1.1, QoS 1).

    `ledger` holds the metering samples, `snapshots` the load snapshots (their used power is the sum of their
    loads); `published` and `accepted` count metering samples. `dr` holds what the homes were told, answered and
    reported, where they listen.
    """

    def __init__(self, options: FleetOptions) -> None:
        self.options = options
        self.ledger = PublishLedger()
        self.snapshots = PublishLedger()
        self.dr = DrLedger()
        self._homes = [Home(options.seed, index) for index in range(options.vens)]
        self._ven_ids = [options.ven_id(index) for index in range(options.vens)]
        self._numbers = [0] * options.vens
        self._downlink = Downlink(options, self._homes, self.dr, self._restart) if options.listens else None
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

    @property
    def behaviours(self) -> dict[str, Behaviour]:
        """How each VEN takes commands; empty where they do not listen."""
        return {} if self._downlink is None else dict(zip(self._ven_ids, self._downlink.behaviours, strict=True))

    @property
    def generations(self) -> dict[str, Generation]:
        """How each VEN spells its answers; empty where they do not listen."""
        return {} if self._downlink is None else dict(zip(self._ven_ids, self._downlink.generations, strict=True))

    def cut_power(self, ven_id: str) -> None:
        """Let a VEN have a power cut: it forgets what it was told, and counts its messages anew."""
        if self._downlink is not None:
            self._downlink.cut_power(self._ven_ids.index(ven_id))

    async def run(self, *, stop: asyncio.Event, messages: int | None = None) -> None:
        """Publish until `stop`, or until `messages` metering samples are out; then wait for the last PUBACKs.

        Raises:
            BrokerRefusedError: when the broker does not let the fleet in.
        """
        options, outage, downlink = self.options, Outage(), self._downlink
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
                        subscribe=() if downlink is None else downlink.topics(n),
                        heard=None if downlink is None else downlink.hear,
                    )
                )
                for n in range(options.connections)
            ]
            await _unless(stop, self._live(publishers, messages))
            missing = sum(await asyncio.gather(*(publisher.drain(_DRAIN_S) for publisher in publishers)))
            if missing:
                logger.warning(
                    "no PUBACK for %d messages after %g s", missing, _DRAIN_S, extra={"action": "fleet_unacknowledged"}
                )

    async def _live(self, publishers: list[Publisher], messages: int | None) -> None:
        """Publish, and answer what is heard meanwhile."""
        if self._downlink is None:
            await self._publish(publishers, messages)
            return
        answering = asyncio.create_task(self._downlink.answer(publishers))
        try:
            await self._publish(publishers, messages)
        finally:
            await self._downlink.close(answering, _DRAIN_S)

    def _restart(self, ven: int) -> None:
        self._numbers[ven] = 0

    async def _publish(self, publishers: list[Publisher], messages: int | None) -> None:
        loop = asyncio.get_running_loop()
        begun, begun_ms, rate = loop.time(), self.begin_ms(messages), self.options.rate
        last = None if messages is None else self.published + messages
        for n, turn in enumerate(slots(self.options)):
            if self.published == last:
                return
            ahead = begun + (turn.offset_ms / _SECOND_MS if rate is None else n / rate) - loop.time()
            if ahead > _EARLY_S:
                await asyncio.sleep(ahead)
            elif n % _TURNS_BEFORE_YIELD == 0:
                await asyncio.sleep(0)
            publisher = publishers[turn.ven % len(publishers)]
            await publisher.wait_for_capacity()
            publisher.send(*self.message(turn, begun_ms + turn.offset_ms))

    def message(self, turn: Slot, time_ms: int) -> Message:
        """Measure, and note in the ledger what is about to be published; `time_ms` is in Unix milliseconds."""
        return self.noted(self.measure(turn, time_ms))

    def measure(self, turn: Slot, time_ms: int) -> Measured:
        """What the home whose turn it is says at a time (Unix milliseconds)."""
        home, ven_id = self._homes[turn.ven], self._ven_ids[turn.ven]
        stamp = time_ms // _SECOND_MS if self._whole_seconds else time_ms
        key_ms = stamp * _SECOND_MS if self._whole_seconds else stamp
        meter, circuits, report = home.at(key_ms / _SECOND_MS), home.circuits, NO_EVENT
        if self._downlink is not None:
            state, now = self._downlink.states[turn.ven], time_ms / _SECOND_MS
            meter, circuits, report = state.meter(meter, now), state.circuits, state.report(now)
        snapshot = turn.snapshot and self.options.snapshot_topic is not None
        if snapshot:
            payload = payloads.load_snapshot(ven_id, circuits, meter, stamp=stamp)
        else:
            self._numbers[turn.ven] += 1
            baseline_kw = home.baseline_kw(key_ms / _SECOND_MS)
            payload = payloads.metering(
                ven_id,
                home,
                meter,
                stamp=stamp,
                baseline_kw=baseline_kw,
                number=self._numbers[turn.ven],
                circuits=circuits,
                report=report,
            )
        return Measured(ven_id, key_ms, snapshot, payload, Sample(meter.used_kw, len(meter.circuits_kw)), report)

    def noted(self, measured: Measured) -> Message:
        """Note in the ledger what is about to be published."""
        ledger, topic = self.ledger, self.options.metering_topic
        if measured.snapshot and self.options.snapshot_topic is not None:
            ledger, topic = self.snapshots, self.options.snapshot_topic
        ven_id, key_ms, report = measured.ven_id, measured.time_ms, measured.report
        accept: Callable[[], None] = functools.partial(ledger.accept, ledger.add(ven_id, key_ms, measured.sample))
        if self._downlink is not None and not measured.snapshot:
            accept = _both(
                accept, self.dr.reported(ven_id, ReportedSample(key_ms, report.event_id, report.shed_kw)).accept
            )
        return Message(topic.replace("{ven_id}", ven_id), measured.payload, accept)

    def begin_ms(self, messages: int | None) -> int:
        """The time of the first turn, Unix milliseconds."""
        options, now_ms = self.options, int(time.time() * _SECOND_MS)
        if options.rate is None:
            return now_ms
        if options.start is not None:
            return int(options.start.timestamp() * _SECOND_MS)
        if messages is None:
            return now_ms - _DAY_MS
        return now_ms - messages * options.interval_ms // options.vens


def _both(one: Callable[[], None], other: Callable[[], None]) -> Callable[[], None]:
    def accept() -> None:
        one()
        other()

    return accept


@asynccontextmanager
async def publishing(fleet: Fleet) -> AsyncIterator[None]:
    """Have a fleet publish inside; at the end the last PUBACKs are there."""
    stop = asyncio.Event()
    running = asyncio.create_task(fleet.run(stop=stop))
    try:
        yield
    finally:
        stop.set()
        await running


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
