"""The homes' downlink: receives commands on `ven/cmd/{venId}` and answers on `ven/ack/{venId}`."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from gateway.fleet.acks import AckPayload, AckWriter
from gateway.fleet.behaviours import Behaviour, Generation, behaviours, generations
from gateway.fleet.command_decoder import Command, decode_command
from gateway.fleet.device import Device
from gateway.fleet.dr_ledger import DrLedger, ReceivedCommand, SentAck
from gateway.fleet.home import Home
from gateway.fleet.options import FleetOptions
from gateway.fleet.publisher import Publisher
from schemas.mqtt.routing import COMMAND_TOPIC

logger = logging.getLogger(__name__)

ACKS = "ven/ack/"

_REPEAT_SECONDS = 1.0  # after which a home that repeats sends its ack with a new time
_encode = msgspec.json.Encoder().encode


class _QueuedAck(NamedTuple):
    ven: int
    payload: AckPayload


class Downlink:
    """The devices of a fleet; `on_power_cut` is called with the number of a home that has a power cut."""

    def __init__(
        self, options: FleetOptions, homes: list[Home], ledger: DrLedger, on_power_cut: Callable[[int], None]
    ) -> None:
        self.behaviours: list[Behaviour] = behaviours(options.seed, options.vens, options.behaviours)
        self.generations: list[Generation] = generations(options.seed, options.vens)
        self.devices = [
            Device(AckWriter(options.ven_id(index), self.generations[index]), home.circuits, self.behaviours[index])
            for index, home in enumerate(homes)
        ]
        self._options = options
        self._homes = homes
        self._ledger = ledger
        self._on_power_cut = on_power_cut
        self._indices = {options.ven_id(index): index for index in range(options.vens)}
        self._queue: asyncio.Queue[_QueuedAck] = asyncio.Queue()
        self._timers: set[asyncio.TimerHandle] = set()
        self._power_cuts: set[tuple[int, str]] = set()

    def topics(self, connection: int) -> list[str]:
        """Return the command topics of the homes that share a connection (by number)."""
        options = self._options
        return [COMMAND_TOPIC + options.ven_id(index) for index in range(connection, options.vens, options.connections)]

    def receive(self, topic: str, payload: bytes, redelivered: bool) -> None:  # noqa: FBT001 - the publisher's callback
        """Handle a message. Homes of an earlier, larger fleet are ignored."""
        ven_id = topic.removeprefix(COMMAND_TOPIC)
        index = self._indices.get(ven_id)
        if index is None:
            return
        command = decode_command(payload)
        if command is None:
            self._ledger.add_command(ven_id, ReceivedCommand(_now_ms(), None, None, None, None, redelivered))
            return
        event_id = command.text("event_id", "eventId")
        record = ReceivedCommand(
            _now_ms(), command.op, command.correlation_id, event_id, command.document, redelivered=redelivered
        )
        self._ledger.add_command(ven_id, record)
        if self.behaviours[index] is Behaviour.SLOW and command.op != "ping":
            self._schedule(self._options.slow_seconds, self._handle, index, command)
        else:
            self._handle(index, command)

    async def send_acks(self, publishers: list[Publisher]) -> None:
        """Publish the homes' acks until cancelled.

        Raises:
            BrokerRefusedError: the broker refused the connection.
        """
        while True:
            ack = await self._queue.get()
            publisher = publishers[ack.ven % len(publishers)]
            await publisher.wait_for_capacity()
            ven_id = self._options.ven_id(ack.ven)
            publisher.send(ACKS + ven_id, _encode(ack.payload), _ignore_puback)
            self._ledger.add_ack(ven_id, SentAck(_now_ms(), ack.payload))
            self._queue.task_done()

    async def close(self, sending: "asyncio.Task[None]", timeout_s: float) -> None:
        """Cancel all timers, give `sending` at most `timeout_s` seconds for the acks in the queue, and end it."""
        for handle in self._timers:
            handle.cancel()
        self._timers.clear()
        sent = asyncio.ensure_future(self._queue.join())
        await asyncio.wait({sending, sent}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for task in (sending, sent):
            task.cancel()
        await asyncio.wait({sending, sent})

    def cut_power(self, index: int) -> None:
        """Simulate a power cut: the home loses its event and restarts its message numbers."""
        self._ledger.add_power_cut(self._options.ven_id(index), _now_ms())
        self.devices[index].reset()
        self._on_power_cut(index)

    def _handle(self, index: int, command: Command) -> None:
        now = time.time()
        # Samples have whole seconds: within one second the home draws the same power.
        ack = self.devices[index].handle(command, self._homes[index].at(float(int(now))), now)
        if ack is None:
            return
        self._send(index, ack)
        if self.behaviours[index] is Behaviour.REPEATS:
            self._send(index, ack)
            self._schedule(_REPEAT_SECONDS, self._send_with_new_time, index, ack)
        event_id = self.devices[index].report(now).event_id
        if self.behaviours[index] is Behaviour.FORGETS and event_id is not None:
            self._schedule_power_cut(index, event_id)

    def _schedule_power_cut(self, index: int, event_id: str) -> None:
        """Schedule one power cut per event, so that a second revision of the command is executed."""
        if (index, event_id) not in self._power_cuts:
            self._power_cuts.add((index, event_id))
            self._schedule(self._options.power_cut_seconds, self._cut_power_during, index, event_id)

    def _cut_power_during(self, index: int, event_id: str) -> None:
        if self.devices[index].report(time.time()).event_id == event_id:
            self.cut_power(index)

    def _send(self, index: int, ack: AckPayload) -> None:
        self._queue.put_nowait(_QueuedAck(index, ack))

    def _send_with_new_time(self, index: int, ack: AckPayload) -> None:
        self._send(index, ack | {"ts": int(time.time())})

    def _schedule(self, seconds: float, work: Callable[..., None], *arguments: Any) -> None:
        def run() -> None:
            self._timers.discard(handle)
            work(*arguments)

        handle = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(handle)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _ignore_puback() -> None:
    """Nothing waits for the PUBACK of an ack."""
