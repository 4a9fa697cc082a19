"""Messages of a test's own making, beside those of a fleet, with their ledgers."""

import asyncio
import functools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from gateway.fleet import Fleet, PublishLedger, Sample
from gateway.fleet.home import Home
from gateway.fleet.malformed import MalformedPayload
from gateway.fleet.payloads import metering
from gateway.fleet.publisher import Publisher
from gateway.local.system import System
from gateway.reconciliation.telemetry import Reconciliation
from gateway.stack.polling import wait_until
from schemas.base.rejection import Reason
from schemas.mqtt.routing import Kind
from schemas.records.topics import HEADER_REASON, HEADER_SOURCE_OFFSET, HEADER_SOURCE_PARTITION
from tests.support.kafka_records import read_all

TOPIC = "volttron/metering"
WAIT = 120
_MESSAGES_BEFORE_YIELD = 32
_DRAIN_SECONDS = 120


class Message(NamedTuple):
    """What is published, and what to call when the broker has accepted it."""

    payload: bytes
    accepted: Callable[[], None]


def samples(ledger: PublishLedger, ven_id: str, seconds: Iterable[int]) -> Iterator[Message]:
    """Make the samples of one VEN for these times (Unix seconds), and enter them in the ledger."""
    home = Home(1, 0)
    for number, second in enumerate(seconds, 1):
        meter = home.at(second)
        payload = metering(ven_id, home, meter, stamp=second, baseline_kw=home.baseline_kw(second), number=number)
        ticket = ledger.add(ven_id, second * 1000, Sample(meter.used_kw, len(meter.circuits_kw)))
        yield Message(payload, functools.partial(ledger.accept, ticket))


async def publish(system: System, name: str, messages: Iterable[Message]) -> None:
    """Publish as fast as the broker takes them; at return it has accepted all."""
    async with Publisher(system.stack.mqtt_host, system.stack.mqtt_port, name) as publisher:
        for number, message in enumerate(messages):
            if number % _MESSAGES_BEFORE_YIELD == 0:
                await asyncio.sleep(0)
            await publisher.wait_for_capacity()
            publisher.send(TOPIC, message.payload, message.accepted)
        assert await publisher.drain(_DRAIN_SECONDS) == 0


class DeadLetter(NamedTuple):
    """One record of a dead-letter topic; `source` is its partition and offset, for it may be there twice."""

    payload: bytes
    reason: str
    source: tuple[int, int]


async def dead_letters(system: System) -> set[DeadLetter]:
    """Read the dead letters of metering."""
    names = system.kafka.topics
    found = set()
    for record in await read_all(system.kafka, names.dead_letters(names.raw(Kind.METERING))):
        headers = dict(record.headers)
        source = (int(headers[HEADER_SOURCE_PARTITION]), int(headers[HEADER_SOURCE_OFFSET]))
        found.add(DeadLetter(record.value or b"", headers[HEADER_REASON].decode(), source))
    return found


class MalformedLedger:
    """The ledger of bad messages: each that was accepted is a dead letter with its reason."""

    def __init__(self, system: System, before: set[DeadLetter]) -> None:
        self._system = system
        self._before = before
        self._accepted: Counter[tuple[bytes, str]] = Counter()

    @classmethod
    async def open(cls, system: System) -> "MalformedLedger":
        """Begin a ledger; dead letters that are there already do not count."""
        return cls(system, await dead_letters(system))

    def messages(self, malformed_payloads: Iterable[MalformedPayload]) -> Iterator[Message]:
        """Make messages of garbage."""
        for bad in malformed_payloads:
            if bad.expected_reason is not None:
                key = (bad.payload, bad.expected_reason)
                yield Message(bad.payload, functools.partial(self._accept, key))

    async def balance(self) -> Reconciliation:
        """Wait until all are dead letters, and compare."""
        await wait_until(self._complete, WAIT, every=1)
        missing = await self._missing()
        accepted = self._accepted.total()
        return Reconciliation(accepted, accepted, accepted - missing, missing, duplicated=0, wrong=0, unknown=0)

    def _accept(self, key: tuple[bytes, str]) -> None:
        self._accepted[key] += 1

    async def _complete(self) -> bool:
        return await self._missing() == 0

    async def _missing(self) -> int:
        found: defaultdict[tuple[bytes, str], int] = defaultdict(int)
        for letter in await dead_letters(self._system) - self._before:
            found[letter.payload, letter.reason] += 1
        return sum(max(0, count - found[key]) for key, count in self._accepted.items())


async def reconcile_too_new(system: System, fleet: Fleet) -> Reconciliation:
    """Compare a fleet whose clocks are ahead: all that was accepted are dead letters for that reason."""
    accepted = {(ven, time_ms) for ven, times in fleet.ledger.accepted_samples().items() for time_ms in times}

    async def missing() -> set[tuple[str, int]]:
        letters = [letter for letter in await dead_letters(system) if letter.reason == Reason.TOO_NEW]
        samples = [json.loads(letter.payload) for letter in letters]
        return accepted - {(sample["venId"], sample["timestamp"] * 1000) for sample in samples}

    async def complete() -> bool:
        return not await missing()

    await wait_until(complete, WAIT, every=1)
    lost = len(await missing())
    published = fleet.published
    return Reconciliation(published, len(accepted), len(accepted) - lost, lost, duplicated=0, wrong=0, unknown=0)
